"""A bare aiohttp handler in a process of its own: `python -m bench.bare ROUTE FILE`.

It listens on loopback, prints its port, and sends that file to who asks for that route. No
middleware, nothing to look up: what aiohttp itself takes to answer with these bytes.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Bare:
    """A handler that serves."""

    pid: int
    port: int


@contextmanager
def bare(route: str, file: Path) -> Iterator[Bare]:
    """Serve the file while the block runs."""
    command = [sys.executable, "-m", "bench.bare", route, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        assert server.stdout
        try:
            yield Bare(server.pid, int(server.stdout.readline()))
        finally:
            server.terminate()


async def serve(route: str, body: bytes) -> None:
    """Answer every request for the route with `body`, for ever."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, headers={"Content-Type": "application/json; charset=utf-8"})

    application = web.Application()
    application.router.add_get(route, answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], Path(sys.argv[2]).read_bytes()))
