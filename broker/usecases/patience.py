"""Waiting for what a fresh process reads first, together and not for long."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress


class FirstPatience:
    """Lets everybody wait until the same instant: so long after the first such wait began."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ends_at: float | None = None

    async def wait_for(self, events: Iterable[asyncio.Event]) -> None:
        """Return when all `events` are set, or patience is over."""
        unset = [event for event in events if not event.is_set()]
        if not unset:
            return
        if self._ends_at is None:
            self._ends_at = asyncio.get_running_loop().time() + self._seconds
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._ends_at):
                for event in unset:
                    await event.wait()
