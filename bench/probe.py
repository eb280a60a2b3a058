"""How long the event loop is held: a task that ought to be run once per millisecond."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter, thread_time

_TICK = 0.001


class Probe:
    """The longest waits of a ticking task, in seconds."""

    def __init__(self) -> None:
        self.held = 0.0
        """As the clock on the wall says: other threads and other programs included."""
        self.computed = 0.0
        """As far as the loop's own thread computed meanwhile."""

    async def tick(self) -> None:
        """Tick until cancelled."""
        while True:
            begun, computed = perf_counter(), thread_time()
            await asyncio.sleep(_TICK)
            self.held = max(self.held, perf_counter() - begun - _TICK)
            self.computed = max(self.computed, thread_time() - computed)


@asynccontextmanager
async def probed() -> AsyncIterator[Probe]:
    """Watch the event loop while the block runs."""
    probe = Probe()
    ticking = asyncio.create_task(probe.tick(), name="probe")
    await asyncio.sleep(0)
    try:
        yield probe
    finally:
        ticking.cancel()
        await asyncio.gather(ticking, return_exceptions=True)
