"""How fast a marketplace may be asked, in two lanes.

Destructions have a lane of their own, so that nothing else can starve them: a machine
that is not destroyed costs money.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from enum import StrEnum


class Lane(StrEnum):
    """What a call is for."""

    DESTROY = "destroy"
    OTHER = "other"


class Pacer:
    """Spaces the starts of calls and bounds how many run at once, per lane.

    `interval` is the least time between two starts (monotonic), `concurrency` the most
    calls at once. Waiting calls start in the order in which they came.
    """

    def __init__(
        self,
        interval: timedelta,
        concurrency: int,
        *,
        destroy_interval: timedelta = timedelta(),
        destroy_concurrency: int = 4,
    ) -> None:
        self._lanes = {
            Lane.OTHER: _Spacing(interval, concurrency),
            Lane.DESTROY: _Spacing(destroy_interval, destroy_concurrency),
        }

    @asynccontextmanager
    async def turn(self, lane: Lane) -> AsyncIterator[None]:
        """Wait for a turn in `lane`, and hold a place in it while the block runs."""
        spacing = self._lanes[lane]
        async with spacing.places:
            await spacing.wait()
            yield


class _Spacing:
    """One lane: its places, and the instant at which the next call may start."""

    def __init__(self, interval: timedelta, concurrency: int) -> None:
        self.places = asyncio.Semaphore(concurrency)
        self._interval = interval.total_seconds()
        self._next_start = 0.0

    async def wait(self) -> None:
        """Take the next free start and sleep until it has come."""
        clock = asyncio.get_running_loop().time
        start = max(clock(), self._next_start)
        self._next_start = start + self._interval
        await asyncio.sleep(start - clock())
