"""The only reader of the wall clock. Everyone else is handed an instant or a callable.

The wall clock may jump: somebody sets it, the computer slept. What was promised or is written down
goes by it all the same; how long something has lasted in this process goes by a steady clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from broker.decide.jumps import Glance, Jump, jump_between


def utcnow() -> datetime:
    """The present instant, aware, in UTC."""
    return datetime.now(UTC)


def slept() -> float:
    """Seconds that this computer has slept, from some instant on."""
    with_sleep = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # that of macOS has it
    return time.clock_gettime(with_sleep) - time.monotonic()


class JumpListener(Protocol):
    """Is told when the wall clock has jumped, before anybody is told its new time."""

    def clock_jumped(self, jump: Jump, now: datetime) -> None: ...


class Clock:
    """A wall clock that is watched for jumps by whoever reads it, and a steady one beside it.

    It belongs to the thread of the event loop, in which its listeners are told.
    """

    def __init__(
        self,
        wall: Callable[[], datetime],
        passed: Callable[[], float],
        slept: Callable[[], float] = slept,
    ) -> None:
        """`wall` tells the time, and `passed` the seconds that have passed: it never jumps.

        It does not know of the seconds that the computer has `slept`.
        """
        self._wall = wall
        self._passed = passed
        self._slept = slept
        self._listeners: list[JumpListener] = []
        self._last = self._glance()
        self._origin = self._last.at - timedelta(seconds=self._last.ended)

    def listen(self, listener: JumpListener) -> None:
        """Tell `listener` of every jump from now on."""
        self._listeners.append(listener)

    def now(self) -> datetime:
        """The present instant: for what is promised, and for what is written down."""
        before, self._last = self._last, self._glance()
        jump = jump_between(before, self._last)
        if jump:
            for listener in self._listeners:
                listener.clock_jumped(jump, self._last.at)
        return self._last.at

    def steady(self) -> datetime:
        """An instant of a clock that never jumps: to be compared with others of it.

        It was the present instant when the process began.
        """
        return self._origin + timedelta(seconds=self._passed())

    def dated(self, steadily: datetime) -> datetime:
        """What the wall clock, as it goes now, would have shown at an instant of the steady one.

        So what happened before a jump can be written down beside what happens after it.
        """
        return self.now() - (self.steady() - steadily)

    def _glance(self) -> Glance:
        begun = self._passed()
        return Glance(self._wall(), begun, self._passed(), self._slept())
