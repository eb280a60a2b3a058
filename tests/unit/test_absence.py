"""When it is proved that an instance is gone."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from broker.decide import moves
from broker.decide.absence import Observation, Proof, doubtful_for, observe, proof_of
from broker.model import Witness
from tests.builders import LATER, NOW, PROOF, STOPPING, VERIFIED

LIST, LOOKUP = Witness.LIST, Witness.LOOKUP

Told = tuple[float, Witness]


def seen(*told: Told) -> tuple[Observation, ...]:
    """What is observed by these answers, so many seconds apart by the steady clock."""
    observed: tuple[Observation, ...] = ()
    for seconds, by in told:
        observed = observe(observed, Observation(NOW, NOW + timedelta(seconds=seconds), by))
    return observed


@pytest.mark.parametrize(
    ("told", "times"),
    [
        ([], 0),
        ([(0, LOOKUP)], 1),
        ([(0, LOOKUP), (0, LIST)], 2),
        ([(0, LIST), (0.1, LOOKUP)], 2),
        ([(0, LOOKUP), (0.999, LOOKUP)], 1),
        ([(0, LOOKUP), (1, LOOKUP)], 2),
        ([(0, LIST), (0.999, LIST)], 1),
        ([(0, LIST), (1, LIST)], 2),
        ([(0, LOOKUP), (0.1, LIST), (0.2, LOOKUP), (0.3, LIST)], 2),
        ([(0, LOOKUP), (0.1, LIST), (1, LOOKUP)], 3),
    ],
)
def test_answers_count_once_a_second_and_kind(told: list[Told], times: int) -> None:
    """Another kind of question is news at once, the same one after a second."""
    assert times == len(seen(*told))


@pytest.mark.parametrize(
    ("told", "may_be_destroyed", "is_proved"),
    [
        ([(0, LOOKUP)], True, False),
        ([(0, LOOKUP), (0, LIST)], True, True),
        ([(0, LOOKUP), (1, LOOKUP)], True, True),
        ([(0, LOOKUP), (0, LIST)], False, False),
        ([(0, LOOKUP), (0, LIST), (1, LOOKUP)], False, True),
        ([(0, LIST), (1, LIST), (2, LIST)], False, True),
    ],
)
def test_two_observations_prove_an_end(
    told: list[Told], may_be_destroyed: bool, is_proved: bool
) -> None:
    """Three where nothing of ours can have ended the machine."""
    assert is_proved == (proof_of(seen(*told), may_be_destroyed=may_be_destroyed) is not None)


def test_the_first_and_the_last_observation_are_the_proof() -> None:
    """The machine is billed until the first, and proved gone at the last."""
    observed = seen((0, LOOKUP), (0, LIST), (1, LOOKUP))
    assert Proof(observed[0], observed[2]) == proof_of(observed, may_be_destroyed=False)


def test_a_proof_is_told_in_words() -> None:
    """An event says how the provider was asked."""
    assert (
        "asked for it alone, the provider did not have it; then a complete list was without it"
    ) == PROOF.words


def test_an_attempt_keeps_how_its_end_was_proved() -> None:
    """Who said so, and when: for the receipt."""
    over = moves.gone(STOPPING, VERIFIED, PROOF, LATER).attempt

    assert over is not None
    assert (PROOF.first.at, Witness.LOOKUP) == (over.absent_at, over.absent_by)
    assert (LATER, Witness.LIST) == (over.gone_at, over.gone_by)


@pytest.mark.parametrize(
    ("since", "verified", "seconds"),
    [
        (0, False, 20),
        (15, False, 5),
        (20, False, 0),
        (99, False, 0),
        (0, True, 0),
        (-99, False, 20),
    ],
)
def test_a_young_instance_may_not_be_listed_yet(
    since: float, *, verified: bool, seconds: int
) -> None:
    """Until its provider must list it, or it was proved; a clock set back makes it no longer."""
    attempt = replace(
        VERIFIED,
        accepted_at=NOW - timedelta(seconds=since),
        verified_at=NOW if verified else None,
    )
    settle = timedelta(seconds=20)

    assert timedelta(seconds=seconds) == doubtful_for(attempt, settle, NOW)
