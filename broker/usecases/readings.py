"""How the readings of the providers stand, for consumers: figures, sentences, warnings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from broker.model import Warned
from broker.usecases.feed import Coverage, Feed


@dataclass(frozen=True, slots=True)
class Reading:
    """How the readings of one provider stand."""

    is_ok: bool
    """Whether the latest reading was good and is not too old."""
    taken_at: datetime | None
    """When the last good reading began; None where there is none."""
    age: timedelta | None
    offers: int
    """That are listed from it."""
    error: str | None
    coverage: Coverage | None
    """Of the last good reading; None where there is none."""


def is_ok(feed: Feed, now: datetime) -> bool:
    """Whether the latest reading was good and is not too old."""
    return feed.trouble is None and feed.usable(now) is not None


def state_of(feed: Feed) -> str:
    """A sentence about a provider that cannot be read."""
    if feed.trouble is not None:
        since = _instant(feed.trouble.since)
        return f"{feed.name} cannot be read since {since}: {feed.trouble.message}"
    if feed.snapshot is None:
        return f"{feed.name} has not been read yet."
    return f"{feed.name} has not answered for too long."


def reading_of(feed: Feed, now: datetime) -> Reading:
    """How the readings of one provider stand."""
    snapshot = feed.usable(now)
    return Reading(
        is_ok=is_ok(feed, now),
        taken_at=feed.snapshot.taken_at if feed.snapshot else None,
        age=feed.age(now),
        offers=len(snapshot.offers) if snapshot else 0,
        error=feed.trouble.message if feed.trouble else None,
        coverage=feed.snapshot.coverage if feed.snapshot else None,
    )


def warnings_of(feed: Feed, now: datetime) -> Iterable[Warned]:
    """What a consumer should know of a provider's readings."""
    snapshot = feed.usable(now)
    if snapshot is None:
        yield Warned("provider_unavailable", f"{state_of(feed)} Its offers are left out.")
        return
    if feed.trouble is not None or feed.is_stale(now):
        state = f" {state_of(feed)}" if feed.trouble else ""
        read_at = _instant(snapshot.taken_at)
        yield Warned("stale", f"The offers of {feed.name} were read at {read_at}.{state}")
    coverage = snapshot.coverage
    if not coverage.is_complete:
        message = f"{feed.name} has more offers than were read. {coverage.detail}".strip()
        yield Warned("market_partly_read", message)


def _instant(instant: datetime) -> str:
    return f"{instant:%Y-%m-%dT%H:%M:%SZ}"
