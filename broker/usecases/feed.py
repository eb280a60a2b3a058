"""One provider's offers: the last good reading, how old it is, and what is wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from broker.decide.confidence import age_factor
from broker.decide.pauses import ordered_pause
from broker.usecases.doors import Door
from broker.usecases.single_flight import SingleFlight
from providers.base import Offer, OfferList
from providers.errors import BadResponse, ProviderError, Unauthorized

log = logging.getLogger(__name__)

_LONGEST_FIRST_PAUSE = timedelta(seconds=30)
_MOST_DOUBLINGS = 10


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the market a reading holds."""

    is_complete: bool = True
    detail: str = ""
    """The adapter's own sentence; empty where there is nothing to say."""
    dropped: int = 0
    """Rows that could not be understood."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One reading of the market. It never changes; the next one takes its place."""

    offers: tuple[Offer, ...]
    taken_at: datetime
    """When the reading began: what happened before it is in it."""
    coverage: Coverage = Coverage()


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a provider cannot be read, and until when it is left alone."""

    since: datetime
    message: str
    """For consumers: the kind of error, never the marketplace's own words."""
    tries: int
    not_before: datetime


@dataclass(frozen=True, slots=True)
class Ages:
    """How old readings may become."""

    refreshed_at: timedelta
    """From here on the market is to be read again."""
    dropped_at: timedelta
    """From here on offers are left out."""

    @property
    def stale_at(self) -> timedelta:
        """From here on offers are believed less, and a warning says how old they are."""
        return 2 * self.refreshed_at


class Feed:
    """The readings of one provider, made one at a time and never by a consumer's request."""

    def __init__(
        self,
        door: Door,
        ages: Ages,
        *,
        now: Callable[[], datetime],
        on_reading: Callable[[Feed, Snapshot | None, Snapshot], None],
    ) -> None:
        """`on_reading` is told of every good reading: the last one, the new one."""
        self.name = door.name
        self.snapshot: Snapshot | None = None
        self.trouble: Trouble | None = None
        self.generation = 0
        """Counts the good readings."""
        self.readings = 0
        """Counts all readings, bad ones too."""
        self.is_read = asyncio.Event()
        """Whether the first reading is over, be it good or bad."""
        self._door = door
        self._ages = ages
        self._now = now
        self._on_reading = on_reading
        self._flight = SingleFlight(f"read-{self.name}", self._read)

    async def refresh(self) -> None:
        """Read the market now, unless the provider is to be left alone for a while."""
        if self.trouble is None or self.trouble.not_before <= self._now():
            await self._flight.join()

    async def close(self) -> None:
        """End a reading that is under way."""
        await self._flight.close()

    def clock_jumped(self, by: timedelta) -> None:
        """What was read is as old as before."""
        if self.snapshot is not None:
            self.snapshot = replace(self.snapshot, taken_at=self.snapshot.taken_at + by)
        if (trouble := self.trouble) is not None:
            since, not_before = trouble.since + by, trouble.not_before + by
            self.trouble = replace(trouble, since=since, not_before=not_before)

    def is_due(self, now: datetime) -> bool:
        """Whether the market is to be read again."""
        if self.trouble is not None:
            return self.trouble.not_before <= now
        return self.snapshot is None or self._age(self.snapshot, now) >= self._ages.refreshed_at

    def usable(self, now: datetime) -> Snapshot | None:
        """The last good reading, unless it is too old."""
        snapshot = self.snapshot
        if snapshot is None or self._age(snapshot, now) > self._ages.dropped_at:
            return None
        return snapshot

    def is_stale(self, now: datetime) -> bool:
        """Whether the last good reading is older than it should be."""
        snapshot = self.snapshot
        return snapshot is not None and self._age(snapshot, now) > self._ages.stale_at

    def age(self, now: datetime) -> timedelta | None:
        """Of the last good reading; None where there is none."""
        return None if self.snapshot is None else self._age(self.snapshot, now)

    def age_factor(self, now: datetime) -> float:
        """How far its age lets the last good reading be believed; 0 where it is left out."""
        snapshot = self.usable(now)
        if snapshot is None:
            return 0.0
        ages = self._ages
        return age_factor(
            self._age(snapshot, now), fresh_for=ages.stale_at, worst_at=ages.dropped_at
        )

    def _age(self, snapshot: Snapshot, now: datetime) -> timedelta:
        return max(now - snapshot.taken_at, timedelta(0))

    async def _read(self) -> None:
        begun_at = self._now()
        try:
            listing = await self._door.list_offers()
        except ProviderError as error:
            self._fail(error)
        except Exception:
            log.exception("The offers of %s cannot be read.", self.name)
            self._fail(BadResponse())
        else:
            self._take(listing, begun_at)
        finally:
            self.readings += 1
            self.is_read.set()

    def _take(self, listing: OfferList, begun_at: datetime) -> None:
        if self.trouble is not None:
            log.info("The offers of %s can be read again.", self.name)
        last = self.snapshot
        coverage = Coverage(listing.complete, listing.detail, listing.dropped)
        self._tell_of_coverage(coverage, last.coverage if last else Coverage())
        # Where the clock was set back meanwhile, nothing was read in the future.
        self.snapshot = Snapshot(listing.offers, min(begun_at, self._now()), coverage)
        self.trouble = None
        self.generation += 1
        self._on_reading(self, last, self.snapshot)

    def _tell_of_coverage(self, new: Coverage, last: Coverage) -> None:
        """What is missing is told in the log when that changes, not at every reading."""
        if new.is_complete != last.is_complete:
            level, extent = (
                (logging.INFO, "whole") if new.is_complete else (logging.WARNING, "part")
            )
            sentence = f"The market of {self.name} is read in {extent}. {new.detail}".strip()
            log.log(level, sentence)
        if new.dropped != last.dropped:
            log.warning(
                "%d rows of the market of %s cannot be understood and are left out (before: %d).",
                new.dropped,
                self.name,
                last.dropped,
            )

    def _fail(self, error: ProviderError) -> None:
        now = self._now()
        if self.trouble is None:
            log.warning("The offers of %s cannot be read: %s", self.name, error)
        tries = self.trouble.tries + 1 if self.trouble else 1
        self.trouble = Trouble(
            since=self.trouble.since if self.trouble else now,
            message=_sentence(error),
            tries=tries,
            not_before=now + self._pause(error, tries),
        )

    def _pause(self, error: ProviderError, tries: int) -> timedelta:
        ordered = ordered_pause(error)
        if ordered is not None:
            return ordered
        if isinstance(error, Unauthorized):
            return self._ages.refreshed_at
        first = min(_LONGEST_FIRST_PAUSE, self._ages.refreshed_at / 2)
        doublings = min(tries - 1, _MOST_DOUBLINGS)
        return min(first * (1 << doublings), self._ages.dropped_at)


def _sentence(error: ProviderError) -> str:
    """What kind of error it is: text of ours, so that no credential can be in it."""
    return (type(error).__doc__ or "").strip().partition("\n")[0]
