"""How long a fresh broker takes to be ready, and how much memory a busy one keeps."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic

import aiohttp

from bench.brokers import Installed, call, installed
from bench.figures import Figure, count, megabytes, ratio, seconds
from bench.processes import memory_mb

_RUNS = 7
_IMPORTS = "import aiohttp, sqlalchemy, pydantic, paramiko"
_SESSIONS, _OFFERS = 1_000, 10_000
_AT_ONCE = 50
_LISTS = 5


async def measure() -> Sequence[Figure]:
    """The start, then the memory."""
    with TemporaryDirectory() as folder:
        imports, starts = _starts(Path(folder))
    with TemporaryDirectory() as folder:
        memory = await _memory(Path(folder))
    return [
        ratio(f"ready, compared with `{_IMPORTS}`", median(starts) / median(imports), below=3),
        seconds("ready, from nothing", median(starts)),
        seconds("these imports alone", median(imports)),
        *memory,
    ]


def _starts(folder: Path) -> tuple[list[float], list[float]]:
    """Seconds of the imports and of the starts, taken in turn."""
    imports, starts = [], []
    for run in range(_RUNS + 1):
        begun = monotonic()
        subprocess.run([sys.executable, "-c", _IMPORTS], cwd=folder, check=True)
        imports.append(monotonic() - begun)
        with installed(folder / str(run)) as broker:
            starts.append(broker.ready_after)
    # The first of each has to find everything on the disk.
    return imports[1:], starts[1:]


async def _memory(folder: Path) -> list[Figure]:
    """What a broker keeps that has a large market and many sessions on their way up."""
    environment = {
        "PROVIDERS_SIMULATOR_OFFERS": str(_OFFERS + _SESSIONS),
        "PROVIDERS_SIMULATOR_SSH": "false",
        "SIMULATOR_DRIFT": "0s",
        "INVENTORY_CACHE_TTL": "5s",
    }
    with installed(folder, **environment) as broker:
        fresh = memory_mb(broker.pid)
        async with aiohttp.ClientSession(broker.url) as client:
            sessions = await _rent(client)
            await asyncio.sleep(10)
            for _ in range(_LISTS):
                await call(client, "GET", "/api/v1/inventory")
                await call(client, "GET", "/api/v1/sessions")
                async with client.get("/metrics") as response:
                    await response.read()
            offers = (await call(client, "GET", "/api/v1/inventory?limit=1"))["total"]
        return _memory_figures(broker, fresh, sessions, offers)


async def _rent(client: aiohttp.ClientSession) -> int:
    """As many sessions as there are to be; how many there are."""
    body = {"workload_type": "llm", "reservation_hours": 1, "allow_unverified": True}
    places = asyncio.Semaphore(_AT_ONCE)

    async def rent(number: int) -> None:
        async with places:
            mine = {"consumer_id": f"consumer-{number}"}
            await call(client, "POST", "/api/v1/sessions", body | mine)

    await asyncio.gather(*map(rent, range(_SESSIONS)))
    total: int = (await call(client, "GET", "/api/v1/sessions?limit=1"))["total"]
    return total


def _memory_figures(broker: Installed, fresh: float, sessions: int, offers: int) -> list[Figure]:
    return [
        count("sessions on their way up", sessions, _SESSIONS),
        count("offers", offers, _OFFERS),
        megabytes("resident", memory_mb(broker.pid), below=160),
        megabytes("resident, at its highest", memory_mb(broker.pid, "VmHWM"), below=160),
        megabytes("resident, when it was ready", fresh),
    ]
