"""How far offers are believed, and when they are passed over."""

from __future__ import annotations

from datetime import timedelta

import pytest

from broker.decide.confidence import FailureMemory, age_factor, confidence
from broker.model import Reason
from tests.offers import NOW, a_failure, an_offer, minutes

NOBODYS_FAULT = [
    Reason.PROVIDER_UNAVAILABLE,
    Reason.PROVIDER_REFUSED,
    Reason.INSUFFICIENT_FUNDS,
    Reason.OUTCOME_UNKNOWN,
    Reason.INTERNAL_ERROR,
    Reason.EXPIRED,
    Reason.DELETED,
]


@pytest.mark.parametrize(
    ("age", "expected"), [(0, 1.0), (2, 1.0), (3.5, 0.75), (5, 0.5), (60, 0.5), (-1, 1.0)]
)
def test_confidence_falls_with_age_from_two_to_five_minutes(age: float, expected: float) -> None:
    """Full at first, half at the age at which offers are left out."""
    assert expected == age_factor(minutes(age), fresh_for=minutes(2), worst_at=minutes(5))


def test_the_age_counts_in_steps_so_that_a_listing_stays_the_same_for_seconds() -> None:
    """Within a step of 3.6 s nothing changes."""
    factors = {
        age_factor(
            minutes(3) + timedelta(seconds=s / 10), fresh_for=minutes(2), worst_at=minutes(5)
        )
        for s in range(18)
    }

    assert len(factors) == 1


def test_an_age_without_a_slope_is_a_step() -> None:
    """Settings that leave no room between fresh and worst divide by nothing."""
    assert age_factor(minutes(6), fresh_for=minutes(5), worst_at=minutes(5)) == 0.5
    assert age_factor(minutes(5), fresh_for=minutes(5), worst_at=minutes(1)) == 1.0


@pytest.mark.parametrize(
    ("prior", "age", "failures", "expected"),
    [(1.0, 1.0, 0, 1.0), (1.0, 1.0, 1, 0.7), (0.8, 0.5, 2, 0.196), (0.3, 0.5, 9, 0.05)],
)
def test_every_failure_lowers_confidence_down_to_a_floor(
    prior: float, age: float, failures: int, expected: float
) -> None:
    """0.7 per failure, at least 0.05, three decimals."""
    assert expected == confidence(prior, age, failures)


def test_an_offer_that_failed_is_passed_over_for_ten_minutes() -> None:
    """And is known by its latest reason for half an hour."""
    offer = an_offer("1")
    memory = FailureMemory([a_failure(offer, reason=Reason.SSH_TIMEOUT)])
    at_once = memory.for_offer(offer, NOW)
    later = memory.for_offer(offer, NOW + minutes(10))

    assert (at_once.recent, at_once.last_reason) == (1, Reason.SSH_TIMEOUT)
    assert at_once.passed_over_until == NOW + minutes(10)
    assert (later.recent, later.passed_over_until) == (1, None)
    assert memory.for_offer(offer, NOW + minutes(30)).recent == 0


def test_the_third_failure_within_half_an_hour_pauses_for_half_an_hour() -> None:
    """What was promised stays: the pause does not shrink when the first failure grows old."""
    offer = an_offer("1")
    memory = FailureMemory([a_failure(offer, NOW + minutes(m)) for m in (0, 14, 28)])

    assert memory.for_offer(offer, NOW + minutes(28)).passed_over_until == NOW + minutes(58)
    assert memory.for_offer(offer, NOW + minutes(45)).passed_over_until == NOW + minutes(58)
    assert memory.for_offer(offer, NOW + minutes(58)).passed_over_until is None


def test_failures_far_apart_are_single_failures() -> None:
    """Three in an hour are not three in half an hour."""
    offer = an_offer("1")
    memory = FailureMemory([a_failure(offer, NOW + minutes(m)) for m in (0, 20, 40)])

    assert memory.for_offer(offer, NOW + minutes(40)).passed_over_until == NOW + minutes(50)


def test_a_machine_fails_with_its_offers() -> None:
    """An offer of the machine that failed is passed over, one of the same id elsewhere is not."""
    failed = an_offer("1", machine_id="m1")
    memory = FailureMemory([a_failure(failed)])

    assert memory.for_offer(an_offer("2", machine_id="m1"), NOW).recent == 1
    assert memory.for_offer(an_offer("2", machine_id="m2"), NOW).recent == 0
    assert memory.for_offer(an_offer("2", machine_id="m1", provider="other"), NOW).recent == 0


def test_a_failure_of_offer_and_machine_counts_once() -> None:
    """The same failure is found by both."""
    offer = an_offer("1", machine_id="m1")

    assert FailureMemory([a_failure(offer)]).for_offer(offer, NOW).recent == 1


def test_an_offer_without_a_machine_is_remembered_by_its_id() -> None:
    """Two offers without a machine have nothing in common."""
    offer = an_offer("1", machine_id=None)
    memory = FailureMemory([a_failure(offer)])

    assert memory.for_offer(offer, NOW).recent == 1
    assert memory.for_offer(an_offer("2", machine_id=None), NOW).recent == 0


def test_a_place_where_three_machines_failed_is_passed_over() -> None:
    """For a quarter of an hour, its other machines too; other places and providers are not."""
    memory = FailureMemory([a_failure(an_offer(str(n)), NOW + minutes(n)) for n in (1, 2, 3)])
    now = NOW + minutes(3)

    assert memory.for_offer(an_offer("9"), now).passed_over_until == NOW + minutes(18)
    assert memory.for_offer(an_offer("9"), now).recent == 0
    assert memory.for_offer(an_offer("9", location="Oslo, NO"), now).passed_over_until is None
    assert memory.for_offer(an_offer("9", provider="other"), now).passed_over_until is None


def test_one_machine_failing_often_is_not_its_places_fault() -> None:
    """Distinct machines count, and an unknown place is no place."""
    same = [a_failure(an_offer(str(n), machine_id="m")) for n in (1, 2, 3)]
    nowhere = [a_failure(an_offer(str(n), location=None)) for n in (4, 5, 6)]
    memory = FailureMemory([*same, *nowhere])

    assert memory.for_offer(an_offer("9"), NOW).passed_over_until is None
    assert memory.for_offer(an_offer("9", location=None), NOW).passed_over_until is None


def test_offers_that_were_rented_by_others_do_not_blame_their_place() -> None:
    """A busy place is not a bad one."""
    gone = [a_failure(an_offer(str(n)), reason=Reason.OFFER_GONE) for n in (1, 2, 3)]

    assert FailureMemory(gone).for_offer(an_offer("9"), NOW).passed_over_until is None


@pytest.mark.parametrize("reason", NOBODYS_FAULT)
def test_what_is_not_the_offers_fault_is_not_held_against_it(reason: Reason) -> None:
    """Quota, credentials, clients and unknown outcomes leave the offer as it was."""
    offer = an_offer("1")
    memory = FailureMemory([a_failure(offer, reason=reason)])

    assert memory.for_offer(offer, NOW) == FailureMemory().for_offer(offer, NOW)


def test_memory_forgets_what_decides_nothing_any_more() -> None:
    """After an hour a failure is neither counted nor told."""
    old, new = an_offer("1"), an_offer("2", location=None)
    memory = FailureMemory([a_failure(old)]).noting(
        a_failure(new, NOW + minutes(61)), NOW + minutes(61)
    )

    assert [t.failure.offer_id for t in memory.troubled(NOW + minutes(61))] == ["cloud-2"]
    assert memory.recent(NOW + minutes(61)) == 1
    assert memory.for_offer(old, NOW).recent == 0


def test_troubled_offers_are_told_while_they_are_passed_over_or_failed_lately() -> None:
    """With the count of the offer and its latest reason."""
    offer = an_offer("1")
    failures = [a_failure(offer, NOW), a_failure(offer, NOW + minutes(1), Reason.WRONG_GPU)]
    (told,) = FailureMemory(failures).troubled(NOW + minutes(1))

    assert told.failure.machine_id == "m1"
    assert (told.record.recent, told.record.last_reason) == (2, Reason.WRONG_GPU)
    assert told.record.passed_over_until == NOW + minutes(11)
    assert FailureMemory(failures).troubled(NOW + minutes(31)) == ()
