"""What is written while an instance is being destroyed, and until when it was billed."""

from __future__ import annotations

from dataclasses import replace

from broker.decide import moves
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

    gone = moves.gone(STOPPING, attempt_of(again), PROOF, LATER + TIMEOUT, LATER)
    assert gone.accrual is not None
    assert LATER == gone.accrual.ends_at


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
    change = moves.destroy_again(STOPPING, accepted, LATER, is_ignored=True)
    assert NOW == attempt_of(change).destroy_asked_at
    assert LATER == attempt_of(change).destroy_accepted_at
    assert change.accrual is not None
    assert LATER == change.accrual.ends_at
    assert () == change.events

    gone = moves.gone(STOPPING, attempt_of(change), PROOF, LATER + TIMEOUT)
    assert gone.accrual is not None
    assert LATER == gone.accrual.ends_at
