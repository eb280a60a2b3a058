"""Brokers to measure: the installed command in a process of its own, or one in this process."""

from __future__ import annotations

import asyncio
import http.client
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import create_server
from time import monotonic, sleep
from typing import Any

import aiohttp

from broker.app import serving
from broker.app.build import Parts
from broker.config import load_settings

ROOT = Path(__file__).parents[1]
"""Where the programs of the bench are found."""
_PROGRAM = (str(Path(sys.executable).with_name("gpu-broker")),)
START_PATIENCE = 60.0
_BETWEEN_LOOKS = 0.005
_STOP_PATIENCE = 15.0
_READY = 200


@dataclass(frozen=True, slots=True)
class Installed:
    """A broker that was started as people start it."""

    pid: int
    port: int
    folder: Path
    ready_after: float
    """Seconds from its start to the first `GET /ready` that is answered with 200."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def installed(
    folder: Path, program: Sequence[str] = _PROGRAM, **environment: str
) -> Iterator[Installed]:
    """`gpu-broker serve --simulate` in `folder`, ready; stopped in order at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    with (folder / "broker.log").open("wb") as log:
        begun = monotonic()
        process = subprocess.Popen(
            [*program, "serve", "--simulate", "--port", str(port)],
            cwd=folder,
            env={
                "PATH": "/usr/bin:/bin",
                "LANG": "C.UTF-8",
                "PYTHONPATH": str(ROOT),
                **environment,
            },
            stdout=log,
            stderr=log,
        )
    try:
        _wait_until_ready(process, port)
        yield Installed(process.pid, port, folder / "data", monotonic() - begun)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()


@asynccontextmanager
async def embedded(folder: Path, **changes: Any) -> AsyncIterator[tuple[str, Parts]]:
    """A serving broker in this process, ready; `__` in the names of settings is a dot."""
    flags = {
        "server.port": 0,
        "database.url": str(folder / "gpu-broker.db"),
        "providers.simulator.enabled": True,
        "providers.simulator.drift": "0s",
    }
    flags |= {name.replace("__", "."): value for name, value in changes.items()}
    settings = load_settings(file=None, environment={}, flags=flags)
    async with serving(settings) as broker, aiohttp.ClientSession(broker.url) as client:
        async with asyncio.timeout(START_PATIENCE):
            while (await client.get("/ready")).status != _READY:
                await asyncio.sleep(_BETWEEN_LOOKS)
        yield broker.url, broker.parts


async def call(client: aiohttp.ClientSession, method: str, url: str, body: Any = None) -> Any:
    """The body of a good answer."""
    async with client.request(method, url, json=body) as response:
        answer = await response.json()
        assert response.ok, answer
        return answer


def _wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = monotonic() + START_PATIENCE
    while not _is_ready(port):
        assert process.poll() is None, "the broker ended before it was ready"
        assert monotonic() < deadline, "the broker was not ready in time"
        sleep(_BETWEEN_LOOKS)


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == _READY
    except OSError:
        return False
    finally:
        connection.close()


def free_port() -> int:
    """A port that nobody uses now."""
    with create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
