"""Serving a simulated service on loopback, in the process of the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from aiohttp import web

from tests.wire.service import Service

_PULSE_SECONDS = 0.05


@asynccontextmanager
async def serving(
    service: Service,
    *,
    pulse: Callable[[], object] | None,
    port: int = 0,
) -> AsyncIterator[str]:
    """Serve until the block ends; gives the address, without a slash at its end.

    `pulse` is called again and again, so that machines follow the time although nobody calls.
    Whoever is kept waiting when it ends is let go.
    """
    runner = web.AppRunner(service.application(), access_log=None, shutdown_timeout=1)
    await runner.setup()
    beating = asyncio.create_task(_beat(pulse, service.closing), name="wire") if pulse else None
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield "http://{}:{}".format(*runner.addresses[0][:2])
    finally:
        service.closing.set()
        if beating:
            await beating
        await runner.cleanup()


async def _beat(pulse: Callable[[], object], closing: asyncio.Event) -> None:
    while not closing.is_set():
        pulse()
        with suppress(TimeoutError):
            async with asyncio.timeout(_PULSE_SECONDS):
                await closing.wait()
