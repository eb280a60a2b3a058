"""How far an offer is to be believed: by its age, and by what became of it lately.

An offer that failed is passed over for a while, and so are its machine and, when several
machines of one place failed, the place. The listing still shows it, with less confidence.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from broker.model import Attempt, Failure, Reason
from providers.base import Offer

RECENT = timedelta(minutes=30)
"""How long a failure lowers the confidence and counts towards a longer pause."""
REMEMBERED = timedelta(hours=1)
"""Older failures decide nothing any more: the window and the longest pause, one after the other."""

_PAUSE = timedelta(minutes=10)
_LONG_PAUSE = timedelta(minutes=30)
_PLACE_PAUSE = timedelta(minutes=15)
_MANY = 3

_AFTER_FAILURE = 0.7
_LEAST = 0.05
_OLDEST_FACTOR = 0.5

BLAMES_MACHINE = frozenset(
    {
        Reason.BOOT_TIMEOUT,
        Reason.BOOT_FAILED,
        Reason.GPU_RUNTIME_BROKEN,
        Reason.SSH_TIMEOUT,
        Reason.ENDPOINT_TIMEOUT,
        Reason.WRONG_GPU,
        Reason.HOST_KEY_CHANGED,
        Reason.INSTANCE_LOST,
    }
)
"""Reasons that speak against the machine, and so, in numbers, against its place."""

BLAMES_OFFER = BLAMES_MACHINE | {Reason.OFFER_GONE, Reason.PRICE_CHANGED}
"""Reasons that speak against the offer. All others are nobody's or somebody else's fault."""


def failure_of(attempt: Attempt, reason: Reason, now: datetime) -> Failure | None:
    """What is remembered of an attempt that failed; None where its offer is not to blame."""
    offer = attempt.offer
    if reason not in BLAMES_OFFER:
        return None
    return Failure(
        offer_id=offer.id,
        provider=offer.provider,
        gpu_type=offer.gpu_type,
        reason=reason,
        created_at=now,
        machine_id=offer.machine_id,
        location=offer.location,
    )


def age_factor(age: timedelta, *, fresh_for: timedelta, worst_at: timedelta) -> float:
    """1.0 until `fresh_for`, then falling evenly to 0.5 at `worst_at`, in steps of 0.01.

    The steps keep a listing, and so its ETag, the same for seconds at a time.
    """
    if age <= fresh_for:
        return 1.0
    if age >= worst_at:
        return _OLDEST_FACTOR
    lost = (age - fresh_for) / (worst_at - fresh_for)
    return round(1.0 - (1.0 - _OLDEST_FACTOR) * lost, 2)


def confidence(prior: float, age: float, failures: int) -> float:
    """The listing's `prior` times the age factor `age`, less for every recent failure.

    Between 0.05 and 1, with three decimals.
    """
    return max(_LEAST, round(prior * age * _AFTER_FAILURE**failures, 3))


@dataclass(frozen=True, slots=True)
class Record:
    """What the failures say of one offer."""

    recent: int = 0
    """Failures of the offer or its machine within `RECENT`."""
    last_reason: Reason | None = None
    passed_over_until: datetime | None = None
    """None where it is not passed over now."""


_NOTHING = Record()


@dataclass(frozen=True, slots=True)
class Troubled:
    """An offer with failures, as `/offer-health` tells it."""

    failure: Failure
    """The latest of the offer."""
    record: Record


class FailureMemory:
    """The failures of the last hour, found by offer, machine and place. Immutable."""

    def __init__(self, failures: Iterable[Failure] = ()) -> None:
        """Failures whose reason does not blame the offer are left out."""
        blamed = (failure for failure in failures if failure.reason in BLAMES_OFFER)
        self._failures = tuple(sorted(blamed, key=lambda failure: failure.created_at))
        self._instants = [failure.created_at for failure in self._failures]
        self._by_offer = _grouped((f.offer_id, f) for f in self._failures)
        self._by_machine = _grouped(
            ((f.provider, f.machine_id), f) for f in self._failures if f.machine_id is not None
        )
        self._place_pauses = {
            place: _place_pauses(failures)
            for place, failures in _grouped(
                ((f.provider, f.location), f)
                for f in self._failures
                if f.location is not None and f.reason in BLAMES_MACHINE
            ).items()
        }

    def noting(self, failure: Failure, now: datetime) -> FailureMemory:
        """This memory with one more failure and without those that are too old to matter."""
        kept = (f for f in self._failures if f.created_at > now - REMEMBERED)
        return FailureMemory((*kept, failure))

    def recent(self, now: datetime) -> int:
        """How many failures are recent: while it stays the same, so do all counts."""
        return len(self._instants) - bisect_right(self._instants, now - RECENT)

    def for_offer(self, offer: Offer, now: datetime) -> Record:
        """What is remembered of the offer, its machine and its place."""
        return self._record(offer.id, offer.provider, offer.machine_id, offer.location, now)

    def troubled(self, now: datetime) -> tuple[Troubled, ...]:
        """Every offer that failed lately or is passed over for a failure of its own."""
        latest = (failures[-1] for failures in self._by_offer.values())
        told = [
            Troubled(f, self._record(f.offer_id, f.provider, f.machine_id, f.location, now))
            for f in latest
        ]
        return tuple(t for t in told if t.record.recent or t.record.passed_over_until)

    def _record(
        self,
        offer_id: str,
        provider: str,
        machine_id: str | None,
        location: str | None,
        now: datetime,
    ) -> Record:
        failures = self._of(offer_id, provider, machine_id)
        pauses = [f.created_at + _pause(failures, f.created_at) for f in failures]
        pauses += self._place_pauses.get((provider, location), ())
        if not pauses:
            return _NOTHING
        until = max(pauses)
        return Record(
            recent=_within(failures, now),
            last_reason=failures[-1].reason if failures else None,
            passed_over_until=until if until > now else None,
        )

    def _of(self, offer_id: str, provider: str, machine_id: str | None) -> Sequence[Failure]:
        own = self._by_offer.get(offer_id, ())
        of_machine = self._by_machine.get((provider, machine_id), ())
        if not of_machine:
            return own
        others = [failure for failure in own if failure.machine_id != machine_id]
        return sorted((*of_machine, *others), key=lambda failure: failure.created_at)


def _pause(failures: Sequence[Failure], instant: datetime) -> timedelta:
    """How long the failure at `instant` pauses the offer: longer where it is one of many."""
    return _LONG_PAUSE if _within(failures, instant) >= _MANY else _PAUSE


def _within(failures: Sequence[Failure], now: datetime) -> int:
    return sum(now - RECENT < failure.created_at <= now for failure in failures)


def _place_pauses(failures: Sequence[Failure]) -> Sequence[datetime]:
    """Until when each failure at a place pauses it: those by which many machines had failed."""
    return [
        last.created_at + _PLACE_PAUSE
        for last in failures
        if len(_machines_within(failures, last.created_at)) >= _MANY
    ]


def _machines_within(failures: Sequence[Failure], now: datetime) -> set[str]:
    return {f.machine_id or f.offer_id for f in failures if now - RECENT < f.created_at <= now}


def _grouped(
    pairs: Iterable[tuple[Hashable, Failure]],
) -> Mapping[Hashable, Sequence[Failure]]:
    groups: dict[Hashable, list[Failure]] = defaultdict(list)
    for key, failure in pairs:
        groups[key].append(failure)
    return dict(groups)
