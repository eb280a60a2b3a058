"""A bare aiohttp handler in a process of its own: `python -m bench.bare FILE` sends that file.

It listens on loopback and prints its port. No middleware, no routing to speak of, nothing
to look up: what aiohttp itself takes to answer with these bytes.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aiohttp import web


@contextmanager
def bare(file: Path) -> Iterator[int]:
    """Serve the file while the block runs; on which port."""
    command = [sys.executable, "-m", "bench.bare", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        assert server.stdout
        try:
            yield int(server.stdout.readline())
        finally:
            server.terminate()


async def serve(body: bytes) -> None:
    """Answer every request with `body`, for ever."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, headers={"Content-Type": "application/json; charset=utf-8"})

    application = web.Application()
    application.router.add_get("/", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]).read_bytes()))
