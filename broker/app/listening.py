"""Serving an application on the address of the settings, for as long as it is wanted."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import cast

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from broker.api.connection import Connection
from broker.config import Settings
from broker.errors import StartupError

IN_FLIGHT_PATIENCE = 7.0
"""Seconds that requests in flight get at a stop."""

_CUT = 0.5
"""Seconds that a request gets to end when it is cut; aiohttp waits for it twice."""

_BACKLOG = 128


class Listening:
    """An application that is served."""

    def __init__(self) -> None:
        self.url = ""
        self._in_flight = 0
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    async def until_idle(self) -> None:
        """Wait until no request is being answered, or `IN_FLIGHT_PATIENCE` is over.

        Requests that come meanwhile are answered too.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(IN_FLIGHT_PATIENCE):
                await self._is_idle.wait()

    def counting(self) -> Middleware:
        """The middleware that knows which requests are being answered."""

        @web.middleware
        async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._in_flight += 1
            self._is_idle.clear()
            try:
                return await handler(request)
            finally:
                self._in_flight -= 1
                if not self._in_flight:
                    self._is_idle.set()

        return count


@asynccontextmanager
async def listening(application: web.Application, settings: Settings) -> AsyncIterator[Listening]:
    """Serve the application; raises StartupError. Requests that last are cut at the end."""
    served = Listening()
    application.middlewares.insert(0, served.counting())
    runner = web.AppRunner(application, handle_signals=False, shutdown_timeout=_CUT)
    await runner.setup()
    try:
        listener = await _listen(runner, settings)
        try:
            served.url = url_of(settings, listener.sockets[0].getsockname()[1])
            yield served
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
