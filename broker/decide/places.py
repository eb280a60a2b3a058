"""How far a listing is to be believed that names places and no machines: it learns.

Such a listing draws many offers from one place: other sizes, other GPUs. So what became of one
of them says something of the others. Where every offer names its machine nothing is learnt here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from broker.decide.confidence import BLAMES_MACHINE, BLAMES_OFFER, RECENT, REMEMBERED
from broker.model import Attempt, Failure
from providers.base import Offer

_WEIGHT = 2
"""Of the prior: as much as so many attempts at the place."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What became of an offer, as far as it says something of its place."""

    provider: str
    location: str
    offer_id: str
    learnt_at: datetime
    has_worked: bool
    gpu_type: str | None = None
    """None where it is about the whole place: a machine worked there, or did not."""

    def counts(self, now: datetime) -> bool:
        """Whether it still says something; of a machine that worked, for longer."""
        return now - (REMEMBERED if self.has_worked else RECENT) < self.learnt_at

    def is_about(self, offer: Offer) -> bool:
        """Whether it concerns an offer of its place. A failure of its own counts elsewhere."""
        if self.gpu_type not in (None, offer.gpu_type):
            return False
        return self.has_worked or self.offer_id != offer.id


def lesson_of_failure(failure: Failure) -> Lesson | None:
    """None where it says nothing of a place.

    A machine that failed speaks against its place, a refusal against this GPU there.
    """
    if failure.machine_id is not None or failure.location is None:
        return None
    if failure.reason not in BLAMES_OFFER:
        return None
    return Lesson(
        provider=failure.provider,
        location=failure.location,
        offer_id=failure.offer_id,
        learnt_at=failure.created_at,
        has_worked=False,
        gpu_type=None if failure.reason in BLAMES_MACHINE else failure.gpu_type,
    )


def lesson_of_attempt(attempt: Attempt) -> Lesson | None:
    """What a verified machine says of its place; None where it is none, or names its machine."""
    offer, verified_at = attempt.offer, attempt.verified_at
    if verified_at is None or offer.machine_id is not None or offer.location is None:
        return None
    return Lesson(offer.provider, offer.location, offer.id, verified_at, has_worked=True)


class PlaceMemory:
    """What was learnt of each place within the last hour. Immutable."""

    def __init__(self, lessons: Iterable[Lesson] = ()) -> None:
        self._lessons = tuple(lessons)
        self._by_place = _by_place(self._lessons)

    def noting(self, lesson: Lesson, now: datetime) -> PlaceMemory:
        """This memory with one more lesson and without those that say nothing any more."""
        return PlaceMemory((*(one for one in self._lessons if one.counts(now)), lesson))

    def counting(self, now: datetime) -> int:
        """How many lessons count: while it stays the same, so does what is believed."""
        return sum(lesson.counts(now) for lesson in self._lessons)

    def prior(self, offer: Offer, now: datetime) -> float:
        """How far the listing of `offer` is to be believed, after what was learnt of its place.

        The adapter's prior where nothing was: 0 to 1.
        """
        if offer.machine_id is not None:
            return offer.prior
        lessons = self._by_place.get((offer.provider, offer.location), ())
        told = [one.has_worked for one in lessons if one.counts(now) and one.is_about(offer)]
        return (_WEIGHT * offer.prior + sum(told)) / (_WEIGHT + len(told))


def _by_place(lessons: Sequence[Lesson]) -> Mapping[tuple[str, str | None], Sequence[Lesson]]:
    places: dict[tuple[str, str | None], list[Lesson]] = defaultdict(list)
    for lesson in lessons:
        places[lesson.provider, lesson.location].append(lesson)
    return dict(places)
