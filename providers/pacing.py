"""How fast a marketplace may be asked: a lane for every kind of call.

No lane waits for another, so that nothing can starve the destructions: a machine that is
not destroyed costs money.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from providers.errors import RateLimited

T = TypeVar("T")

_QUICK_WAIT = timedelta(seconds=1)
"""The longest rest at pace 0."""
_LONGEST_REST = timedelta(minutes=1)
"""A lane that rests for longer would hold up the destructions that wait in it."""
_MOST_TRIES = 3
_SHORTEST_SETTLE = timedelta(seconds=1)

DESTRUCTIONS_AT_ONCE = 32
"""No machine lives on because the marketplace takes its time over the others."""


@dataclass(frozen=True, slots=True)
class Lane:
    """The limits of one kind of call."""

    interval: timedelta = timedelta()
    """The least time between the starts of two calls (monotonic)."""
    concurrency: int = 1
    """The most calls at once."""


class Pacer:
    """Spaces the starts of calls and bounds how many run at once, per lane.

    Waiting calls start in the order in which they came. One that gives up takes no start
    away from those behind it.
    """

    def __init__(self, lanes: Mapping[str, Lane]) -> None:
        self._lanes = {name: _Spacing(lane) for name, lane in lanes.items()}

    @asynccontextmanager
    async def turn(self, lane: str, *, patience: timedelta | None = None) -> AsyncIterator[None]:
        """Wait for a turn in `lane`, and hold a place in it while the block runs.

        Raises `RateLimited`, at once, where the turn comes only after `patience`.
        """
        spacing = self._lanes[lane]
        if patience is not None and spacing.wait > patience:
            message = "Too many calls of this kind are waiting for their turn."
            raise RateLimited(message, retry_after=spacing.wait)
        async with spacing.place():
            yield

    async def insist(
        self, lane: str, call: Callable[[], Awaitable[T]], *, patience: timedelta, pace: float
    ) -> T:
        """What `call` gives in its turn; it is made again where it was refused for haste.

        Its `RateLimited` must mean that it has done nothing. That is raised after three tries,
        and at once where the next one would begin later than `patience` after the first was
        asked for.
        """
        ends_at = _monotonic() + patience.total_seconds()
        refused = RateLimited()
        for _ in range(_MOST_TRIES):
            left = timedelta(seconds=ends_at - _monotonic())
            async with self.turn(lane, patience=left):
                try:
                    return await call()
                except RateLimited as error:
                    refused = self.heed(lane, error, pace=pace)
            if _wait_of(refused) > min(left, _LONGEST_REST):
                break
        raise refused

    def postpone(self, lane: str, wait: timedelta) -> None:
        """Start no call in `lane` before `wait` is over: the marketplace asks for it."""
        self._lanes[lane].postpone(wait)

    def heed(self, lane: str, refused: RateLimited, *, pace: float) -> RateLimited:
        """Leave `lane` alone for as long as a refusal asks; the refusal to raise.

        At pace 0 that is a moment. A long rest is left to whoever called, who is told of it.
        """
        wait = _wait_of(refused) if pace else min(_wait_of(refused), _QUICK_WAIT)
        if wait > _LONGEST_REST:
            return refused
        self.postpone(lane, wait)
        return RateLimited(str(refused), retry_after=wait)


class _Spacing:
    """One lane: its places, and the instant at which the next call may start."""

    def __init__(self, lane: Lane) -> None:
        self._places = asyncio.Semaphore(lane.concurrency)
        self._starts = asyncio.Lock()
        self._interval = lane.interval.total_seconds()
        self._next_start = 0.0
        self._waiting = 0

    @property
    def wait(self) -> timedelta:
        """How long one more call would wait for its start, if those at work do not hinder it."""
        seconds = max(self._next_start - _monotonic(), 0.0) + self._waiting * self._interval
        return timedelta(seconds=seconds)

    def postpone(self, wait: timedelta) -> None:
        self._next_start = max(self._next_start, _monotonic() + wait.total_seconds())

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        self._waiting += 1
        try:
            await self._places.acquire()
            try:
                await self._start()
            except BaseException:
                self._places.release()
                raise
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._places.release()

    async def _start(self) -> None:
        """Sleep until the next start has come, and take it."""
        async with self._starts:
            # A lane may be postponed while somebody sleeps here.
            while (left := self._next_start - _monotonic()) > 0:  # noqa: ASYNC110
                await asyncio.sleep(left)
            self._next_start = _monotonic() + self._interval


def settle_at(pace: float, usual: timedelta) -> timedelta:
    """How long after a lost answer a machine may still appear: a second at least."""
    return max(usual * pace, _SHORTEST_SETTLE)


def _wait_of(refused: RateLimited) -> timedelta:
    return refused.retry_after or timedelta()


def _monotonic() -> float:
    return asyncio.get_running_loop().time()
