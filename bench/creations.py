"""100 creations at once, against the installed broker: accepted, running, and /health meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

import aiohttp

from bench.brokers import Installed, call, installed
from bench.figures import Figure, count, percentile, seconds
from bench.polling import polled
from providers.simulator.account import Account

CREATIONS = 100
_PATIENCE = 120.0
_BETWEEN_LOOKS = 0.25
_RELIABLE = 0.9


async def measure() -> Sequence[Figure]:
    """Create, wait until all run, ask the account when their boots were over."""
    with TemporaryDirectory() as folder, installed(Path(folder), SIMULATOR_DRIFT="0s") as broker:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(broker.url, connector=connector) as client:
            gpu_types = await _rentable(client)
            with polled(broker.port) as polling:
                await asyncio.sleep(1)
                begun = monotonic()
                answers = await asyncio.gather(*(_create(client, name) for name in gpu_types))
                accepted = monotonic() - begun
                sessions = await _until_settled(client)
                running = monotonic() - begun
                await asyncio.sleep(1)
        lags = _lags(broker, sessions)
    warned = sum(bool(answer["warnings"]) for answer in answers)
    at_work = sum(session["status"] == "running" for session in sessions)
    return [
        count("sessions running", at_work, CREATIONS),
        count("answers with a warning", warned, 0),
        seconds(f"{CREATIONS} creations accepted", accepted, below=2),
        seconds("the last one runs, after the end of its boot", max(lags), below=3),
        seconds("the median one runs, after the end of its boot", percentile(lags, 0.5)),
        seconds("all run, after the first request", running),
        seconds("GET /health, p99 meanwhile", percentile(polling.latencies, 0.99), below=0.1),
        seconds("GET /health, slowest", max(polling.latencies)),
        seconds("GET /health, median", percentile(polling.latencies, 0.5)),
    ]


async def _rentable(client: aiohttp.ClientSession) -> list[str]:
    """The GPU types of as many rentable machines as are to be rented."""
    body = await call(client, "GET", "/api/v1/inventory")
    fitting = [
        offer["gpu_type"]
        for offer in body["offers"]
        if offer["verified"] and (offer["reliability"] or 1) >= _RELIABLE
    ]
    return fitting[:CREATIONS]


async def _create(client: aiohttp.ClientSession, gpu_type: str) -> Any:
    body = {
        "consumer_id": "bench",
        "workload_type": "llm",
        "reservation_hours": 1,
        "gpu_type": gpu_type,
    }
    return await call(client, "POST", "/api/v1/sessions", body)


async def _until_settled(client: aiohttp.ClientSession) -> list[Any]:
    """All sessions, as soon as none is on its way up any more."""
    async with asyncio.timeout(_PATIENCE):
        while True:
            query = "status=pending,provisioning&limit=1"
            if not (await call(client, "GET", f"/api/v1/sessions?{query}"))["total"]:
                return list((await call(client, "GET", "/api/v1/sessions"))["sessions"])
            await asyncio.sleep(_BETWEEN_LOOKS)


def _lags(broker: Installed, sessions: Sequence[Any]) -> list[float]:
    """Seconds from the end of each machine's boot to the proof of its session."""
    account = Account(broker.folder)
    boots = {str(machine.id): machine.fate.boots_at for machine in account.all()}
    account.close()
    return [
        (datetime.fromisoformat(session["running_at"]) - booted_at).total_seconds()
        for session in sessions
        if (booted_at := boots[session["provider_instance_id"]]) and session["running_at"]
    ]
