"""Work that is done at most once at a time, for everybody who asks for it meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress


class SingleFlight:
    """One piece of work: a second caller joins the first, and none can cancel it by leaving."""

    def __init__(self, name: str, work: Callable[[], Coroutine[None, None, None]]) -> None:
        self._name = name
        self._work = work
        self._task: asyncio.Task[None] | None = None

    async def join(self) -> None:
        """Begin the work, or wait for the end of the one that is under way."""
        if self._task is None:
            self._task = asyncio.create_task(self._work(), name=self._name)
            self._task.add_done_callback(self._finished)
        await asyncio.shield(self._task)

    async def close(self) -> None:
        """End the work that is under way."""
        task = self._task
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled():
            task.exception()
