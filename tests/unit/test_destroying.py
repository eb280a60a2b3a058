"""What is written while an instance is being destroyed, and until when it was billed."""

from __future__ import annotations

from dataclasses import replace

from broker.decide import moves
from broker.decide.meter import run_on
from broker.effects import Effect
from broker.model import Attempt, Change
from tests.builders import LATER, NOW, PROOF, STOPPING, TIMEOUT, VERIFIED

ASKED = moves.ask_to_destroy(STOPPING, VERIFIED, NOW)


def attempt_of(change: Change) -> Attempt:
    """The attempt that a change writes."""
    assert change.attempt is not None
    return change.attempt


def test_a_destruction_that_is_asked_for_stops_the_meter() -> None:
    """The answer may never be heard: the machine was billed until the last call then."""
    again = moves.ask_to_destroy(STOPPING, attempt_of(ASKED), LATER)
    assert NOW == attempt_of(again).destroy_asked_at
    assert again.accrual is not None
    assert LATER == again.accrual.ends_at
    assert () == again.events

    gone = moves.gone(STOPPING, attempt_of(again), PROOF, LATER + TIMEOUT, is_stopped=True)
    assert gone.accrual is None


def test_an_accepted_destruction_is_noted_with_its_first_asking() -> None:
    """The first asking and the acceptance are two instants."""
    change = moves.destroying(STOPPING, attempt_of(ASKED), LATER)
    assert NOW == attempt_of(change).destroy_asked_at
    assert LATER == attempt_of(change).destroy_accepted_at
    assert change.accrual is not None
    assert (NOW, LATER) == (change.accrual.begins_at, change.accrual.ends_at)
    assert ["instance.destroy_accepted"] == [event.type for event in change.events]


def test_a_destruction_without_effect_is_billed_until_it_has_one() -> None:
    """The last acceptance counts, and tells nothing new."""
    accepted = replace(attempt_of(ASKED), destroy_accepted_at=NOW)
    change = moves.destroy_again(STOPPING, accepted, LATER)
    assert NOW == attempt_of(change).destroy_asked_at
    assert LATER == attempt_of(change).destroy_accepted_at
    assert change.accrual is not None
    assert LATER == change.accrual.ends_at
    assert () == change.events

    gone = moves.gone(STOPPING, attempt_of(change), PROOF, LATER + TIMEOUT)
    assert gone.accrual is not None
    assert LATER == gone.accrual.ends_at


def test_what_is_known_to_have_had_no_effect_does_not_stop_the_meter() -> None:
    """The machine is billed on, and where it is missed later without more, until then."""
    accepted = replace(attempt_of(ASKED), destroy_accepted_at=NOW)
    change = run_on(STOPPING, accepted)
    assert Effect.DESTROY_IGNORED is change.name
    assert NOW == attempt_of(change).destroy_asked_at
    assert attempt_of(change).destroy_accepted_at is None
    assert change.accrual is not None
    assert change.accrual.ends_at is None

    gone = moves.gone(STOPPING, attempt_of(change), PROOF, LATER + TIMEOUT)
    assert gone.accrual is not None
    assert PROOF.first.at == gone.accrual.ends_at


def test_a_call_that_was_not_accepted_does_not_stop_the_meter_either() -> None:
    """It is no acceptance that was ignored."""
    change = run_on(STOPPING, attempt_of(ASKED))
    assert Effect.RUN_ON is change.name
    assert change.accrual is not None
    assert change.accrual.ends_at is None
