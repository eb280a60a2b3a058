"""Serving an application on the address of the settings, for as long as it is wanted."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from aiohttp import web

from broker.api.connection import Connection
from broker.config import Settings
from broker.errors import StartupError

IN_FLIGHT_PATIENCE = 7.0
"""Seconds that requests in flight get at a stop."""

_BACKLOG = 128


@asynccontextmanager
async def listening(application: web.Application, settings: Settings) -> AsyncIterator[str]:
    """Serve the application, and tell at which URL; raises StartupError."""
    runner = web.AppRunner(application, handle_signals=False, shutdown_timeout=IN_FLIGHT_PATIENCE)
    await runner.setup()
    try:
        listener = await _listen(runner, settings)
        try:
            yield url_of(settings, listener.sockets[0].getsockname()[1])
        finally:
            listener.close()
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, settings: Settings) -> asyncio.Server:
    server = cast("web.Server", runner.server)  # there, because the runner is set up
    loop = asyncio.get_running_loop()
    host, port = settings.server.host, settings.server.port
    try:
        return await loop.create_server(
            lambda: Connection(server, loop), host, port, backlog=_BACKLOG
        )
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else "no such address"
        message = f"Cannot listen on {host}:{port}: {why}. Choose another --port."
        raise StartupError(message) from error


def url_of(settings: Settings, port: int) -> str:
    """Where clients on this computer reach the broker."""
    host = settings.server.host
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 (not bound here)
    return f"http://{f'[{host}]' if ':' in host and '[' not in host else host}:{port}"
