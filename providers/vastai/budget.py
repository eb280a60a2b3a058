"""How many searches may be made: the marketplace counts them by the day. Pure.

A token bucket: searches become free evenly over the day, and some are saved up for reading
the whole market at once. A quota that the marketplace calls exceeded closes it until the
next UTC midnight.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

BURST = 60

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Budget:
    """The searches that may still be made."""

    per_day: int
    burst: int = BURST
    """How many may be saved up."""
    spent: float = 0.0
    """How many of those were missing at `counted_at`."""
    counted_at: datetime | None = None
    """None: nothing was spent yet."""
    closed_until: datetime | None = None
    """Until then the marketplace answers no search."""

    def left(self, now: datetime) -> int:
        """How many searches may be made at `now`."""
        return 0 if self.is_closed(now) else int(self.burst - self._spent(now))

    def is_closed(self, now: datetime) -> bool:
        """Whether the marketplace's own quota is used up."""
        return self.closed_until is not None and now < self.closed_until

    def spend(self, now: datetime) -> Budget:
        """The budget after a search at `now`, which it may never have allowed."""
        return replace(self, spent=min(self._spent(now) + 1, self.burst), counted_at=now)

    def close(self, until: datetime) -> Budget:
        """The budget after the marketplace has refused to search before `until`."""
        return replace(self, closed_until=until)

    def _spent(self, now: datetime) -> float:
        if self.counted_at is None:
            return self.spent
        passed = max(now - self.counted_at, timedelta())
        return max(self.spent - passed / _DAY * self.per_day, 0.0)
