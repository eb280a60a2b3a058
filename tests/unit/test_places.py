"""What is learnt of a place from the offers that were tried there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from broker.decide.places import Lesson, PlaceMemory, lesson_of_attempt, lesson_of_failure
from broker.model import Reason
from providers.base import Offer
from tests.builders import an_attempt
from tests.offers import NOW, a_failure, an_offer, minutes


def listed(provider_id: str, **fields: object) -> Offer:
    """An offer of a price list: no machine is named, and it is hardly believed."""
    return an_offer(provider_id, **{"machine_id": None, "prior": 0.3, **fields})


ONE, TWO = listed("1"), listed("2", gpu_count=2)
OTHER_GPU = listed("3", gpu_type="L4")
ELSEWHERE = listed("4", location="Oslo, NO")


def worked(offer: Offer = ONE, at: float = 0) -> Lesson:
    """A machine of `offer` was verified some minutes after NOW."""
    lesson = lesson_of_attempt(an_attempt(offer=offer, verified_at=NOW + minutes(at)))
    assert lesson is not None
    return lesson


def failed(offer: Offer = ONE, reason: Reason = Reason.OFFER_GONE, at: float = 0) -> Lesson:
    """`offer` did not become a working machine some minutes after NOW."""
    lesson = lesson_of_failure(a_failure(offer, NOW + minutes(at), reason))
    assert lesson is not None
    return lesson


def prior(offer: Offer, *lessons: Lesson, at: float = 0) -> float:
    """How far the listing is believed some minutes after NOW, with two decimals."""
    return round(PlaceMemory(lessons).prior(offer, NOW + minutes(at)), 2)


def test_nothing_learnt_leaves_the_prior() -> None:
    """Of any listing."""
    assert prior(ONE) == 0.3
    assert prior(an_offer("9")) == 1.0


@pytest.mark.parametrize(
    ("count", "expected"), [(1, 0.53), (2, 0.65), (3, 0.72), (10, 0.88), (1000, 1.0)]
)
def test_machines_that_worked_raise_the_confidence_in_their_place(
    count: int, expected: float
) -> None:
    """It starts low and rises towards 1.0, for other sizes and GPUs of the place too."""
    lessons = [worked()] * count

    assert prior(ONE, *lessons) == prior(TWO, *lessons) == expected
    assert prior(OTHER_GPU, *lessons) == expected
    assert prior(ELSEWHERE, *lessons) == 0.3


@pytest.mark.parametrize(("count", "expected"), [(1, 0.2), (2, 0.15), (4, 0.1)])
def test_refusals_lower_the_confidence_in_their_gpu_at_the_place(
    count: int, expected: float
) -> None:
    """Other sizes of it; what the place has of another GPU is not told by that."""
    lessons = [failed()] * count

    assert prior(TWO, *lessons) == expected
    assert prior(OTHER_GPU, *lessons) == 0.3
    assert prior(ELSEWHERE, *lessons) == 0.3


def test_a_machine_that_never_came_up_speaks_against_the_whole_place() -> None:
    """Its hosts are those of the other GPUs too."""
    lesson = failed(reason=Reason.BOOT_TIMEOUT)

    assert prior(TWO, lesson) == prior(OTHER_GPU, lesson) == 0.2
    assert prior(ELSEWHERE, lesson) == 0.3


def test_successes_and_failures_are_weighed_against_each_other() -> None:
    """A place that recovers is believed again."""
    assert prior(TWO, failed(), failed(), worked()) == 0.32
    assert prior(TWO, failed(), worked(), worked(), worked()) == 0.6


def test_what_an_offer_did_itself_is_not_counted_twice() -> None:
    """Its own failures lower its confidence already."""
    assert prior(ONE, failed(ONE)) == 0.3
    assert prior(ONE, failed(ONE), failed(TWO)) == 0.2


def test_lessons_are_forgotten() -> None:
    """Failures after half an hour, machines that worked after an hour."""
    lessons = (failed(), worked())

    assert prior(TWO, *lessons, at=29) == 0.4
    assert prior(TWO, *lessons, at=30) == 0.53
    assert prior(TWO, *lessons, at=60) == 0.3
    assert [PlaceMemory(lessons).counting(NOW + minutes(m)) for m in (29, 30, 60)] == [2, 1, 0]


def test_a_memory_keeps_only_what_still_counts() -> None:
    """However many attempts there were."""
    memory = PlaceMemory([failed(), worked()]).noting(failed(at=60), NOW + minutes(60))

    assert memory.counting(NOW) == 1
    assert round(memory.prior(TWO, NOW + minutes(60)), 2) == 0.2


def test_nothing_is_learnt_where_machines_are_named() -> None:
    """Each has a record of its own there."""
    named = an_offer("1", machine_id="m1")

    assert lesson_of_failure(a_failure(named)) is None
    assert lesson_of_attempt(an_attempt(offer=named, verified_at=NOW)) is None
    assert prior(replace(TWO, machine_id="m2"), failed(), worked()) == 0.3


def test_nothing_is_learnt_where_no_place_is_named() -> None:
    """Two offers without a place have nothing in common."""
    nowhere = listed("1", location=None)

    assert lesson_of_failure(a_failure(nowhere)) is None
    assert lesson_of_attempt(an_attempt(offer=nowhere, verified_at=NOW)) is None
    assert prior(listed("2", location=None), failed(), worked()) == 0.3


def test_what_is_nobodys_fault_or_not_over_teaches_nothing() -> None:
    """An account without money, a machine that is not verified yet."""
    assert lesson_of_failure(a_failure(ONE, reason=Reason.INSUFFICIENT_FUNDS)) is None
    assert lesson_of_attempt(an_attempt(offer=ONE)) is None


def test_marketplaces_do_not_share_their_places() -> None:
    """Two of them may have the same town."""
    assert prior(listed("2", provider="other"), failed(), worked()) == 0.3
