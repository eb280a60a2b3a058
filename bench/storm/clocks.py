"""From the broker's clock, which jumps, to the true one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Shift:
    """From an instant of the true clock on, the broker's clock is so far ahead."""

    since: datetime
    ahead: timedelta


@dataclass(frozen=True, slots=True)
class BrokerClock:
    """The broker's clock of a whole run."""

    shifts: Sequence[Shift]
    """In their order, from the beginning of the run."""
    now: datetime
    """The end of the run."""

    def first_past(self, instant: datetime | None, since: datetime) -> datetime | None:
        """When it first showed an instant or a later one, not before `since`; None: not yet."""
        if instant is None:
            return None
        return next((begin for begin, _ in self.past(instant, since)), None)

    def past(self, instant: datetime, since: datetime) -> Iterator[tuple[datetime, datetime]]:
        """The stretches in which it showed an instant or a later one, from `since` on."""
        whole: tuple[datetime, datetime] | None = None
        for shift, end in self._spans():
            begin = max(since, shift.since, instant - shift.ahead)
            if begin >= end:
                continue
            if whole is not None and whole[1] == begin:
                whole = whole[0], end
                continue
            if whole is not None:
                yield whole
            whole = begin, end
        if whole is not None:
            yield whole

    def written_at(self, instant: datetime | None, since: datetime) -> datetime | None:
        """When something was written down with its time: at the latest possible."""
        if instant is None:
            return None
        shown = [
            instant - shift.ahead
            for shift, end in self._spans()
            if shift.since <= instant - shift.ahead <= end
        ]
        return max(shown, default=since)

    def _spans(self) -> Iterator[tuple[Shift, datetime]]:
        ends = [*(shift.since for shift in self.shifts[1:]), self.now]
        return zip(self.shifts, ends, strict=True)
