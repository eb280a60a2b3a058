"""Has the wall clock jumped? And how long has something lasted, whatever the wall clock did?"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

K = TypeVar("K", bound=Hashable)

TOLERANCE = timedelta(seconds=1)
"""By less the wall clock is corrected all the time, and nobody minds."""


@dataclass(frozen=True, slots=True)
class Glance:
    """One look at the wall clock, between two at a clock that does not jump."""

    at: datetime
    """What the wall clock showed."""
    begun: float
    """Seconds of the other clock, before the look and after it."""
    ended: float
    slept: float = 0.0
    """Seconds that the computer has slept: no clock of a process has them, the wall has."""


@dataclass(frozen=True, slots=True)
class Jump:
    """How far the wall clock went beyond what it should have: negative is back, zero is no jump."""

    by: timedelta
    """Beyond the time that passed in this process."""
    set_by: timedelta
    """Beyond the time that passed in the world: somebody has set the clock."""

    def __bool__(self) -> bool:
        return bool(self.by or self.set_by)


def jump_between(before: Glance, after: Glance) -> Jump:
    """The jump between two looks.

    A process that was stopped between the looks knows only bounds of the time that passed.
    """
    moved = after.at - before.at
    least = timedelta(seconds=after.begun - before.ended)
    most = timedelta(seconds=after.ended - before.begun)
    slept = timedelta(seconds=after.slept - before.slept)
    return Jump(_beyond(moved, least, most), _beyond(moved, least + slept, most + slept))


def _beyond(moved: timedelta, least: timedelta, most: timedelta) -> timedelta:
    by = moved - min(max(moved, least), most)
    return by if abs(by) >= TOLERANCE else timedelta()


def begun_steadily(
    known: Mapping[K, datetime], begun: Mapping[K, datetime], now: datetime, steady: datetime
) -> dict[K, datetime]:
    """When each thing began, by the steady clock, to measure how long it lasts.

    `known` are the answers of the last time; `begun` says of all that lasts now when it began by
    the wall clock, which is believed the first time, `now` and `steady` being the same instant.
    """
    return {
        key: known.get(key, steady - max(now - instant, timedelta()))
        for key, instant in begun.items()
    }
