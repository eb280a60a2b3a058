"""A whole broker in the test's own process: real SQLite, real HTTP, real machines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from broker.app import serving
from broker.app.build import Parts
from broker.config import load_settings
from broker.store import Store
from tests.service.documented import documented
from tests.service.markets import Clock
from tests.service.store_examples import opened
from tests.waiting import eventually

QUICK = {
    "server.port": 0,
    "providers.simulator.enabled": True,
    "providers.simulator.boot_time": "100ms",
    "providers.simulator.drift": "0s",
    "lifecycle.check_interval": "200ms",
    "lifecycle.reconciliation_interval": "300ms",
    "lifecycle.orphan_grace_period": "1s",
    "lifecycle.lost_after": "500ms",
    "ssh.check_interval": "100ms",
    "inventory.cache_ttl": "500ms",
}
"""The whole lifecycle in a few seconds."""
UNHURRIED = {"lifecycle__check_interval": "1h", "lifecycle__reconciliation_interval": "1h"}
"""No look by itself: what happens was due at its instant, was asked for, or came of a start."""


@dataclass(frozen=True)
class Broker:
    """A serving broker and a client of it."""

    url: str
    parts: Parts
    client: aiohttp.ClientSession

    async def call(
        self, method: str, path: str, json: Any = None, key: str | None = None
    ) -> tuple[int, Any]:
        """The status and the decoded body of one request; `key` is its Idempotency-Key."""
        headers = {} if key is None else {"Idempotency-Key": key}
        async with self.client.request(
            method, self.url + path, json=json, headers=headers
        ) as response:
            return response.status, await response.json()

    async def rent(self, key: str | None = None, **fields: Any) -> tuple[int, Any]:
        """POST /sessions: an hour on an RTX 4090 for somebody, unless told otherwise."""
        body = {"consumer_id": "somebody", "workload_type": "llm", "reservation_hours": 1}
        if "offer_id" not in fields:
            body["gpu_type"] = "RTX 4090"
        body |= fields
        given = {name: value for name, value in body.items() if value is not None}
        return await self.call("POST", "/api/v1/sessions", given, key)

    async def session(self, session_id: str) -> Any:
        """The session object."""
        status, body = await self.call("GET", f"/api/v1/sessions/{session_id}")
        assert status == 200, body
        return body

    async def events(self, session_id: str) -> list[Any]:
        """What happened to a session, oldest first."""
        _, body = await self.call("GET", f"/api/v1/sessions/{session_id}/events")
        return list(body["events"])

    async def until(self, session_id: str, *statuses: str) -> Any:
        """The session as soon as it has one of these statuses."""

        async def look() -> Any:
            session = await self.session(session_id)
            return session if session["status"] in statuses else None

        return await eventually(look)

    async def fault(self, fault: str, operation: str, **fields: Any) -> None:
        """Plan a misfortune at the simulated market."""
        body = {"fault": fault, "operation": operation, **fields}
        status, answer = await self.call("POST", "/simulator/faults", body)
        assert status < 300, answer

    async def machines(self) -> Any:
        """How many machines the simulated account holds, and whose they are."""
        _, body = await self.call("GET", "/api/v1/providers")
        return body["providers"][0]["machines"]


Serve = Callable[..., AbstractAsyncContextManager[Broker]]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Start a broker on this test's folder, with these settings beside the quick ones."""

    @asynccontextmanager
    async def start(**settings: Any) -> AsyncIterator[Broker]:
        changes = {name.replace("__", "."): value for name, value in settings.items()}
        flags = QUICK | {"database.url": str(tmp_path / "broker.db")} | changes
        loaded = load_settings(file=None, environment={}, flags=flags)
        async with (
            serving(loaded) as broker,
            aiohttp.ClientSession(trace_configs=[documented(broker.url)]) as client,
        ):
            started = Broker(broker.url, broker.parts, client)

            async def is_ready() -> bool:
                status, _ = await started.call("GET", "/ready")
                return status == 200

            await eventually(is_ready)
            yield started

    return start


@pytest.fixture
async def broker(serve: Serve) -> AsyncIterator[Broker]:
    """A serving broker with the quick settings."""
    async with serve() as started:
        yield started


@pytest.fixture
async def market_only(serve: Serve) -> AsyncIterator[Broker]:
    """A broker whose machines never come up: for what is decided before that."""
    async with serve(providers__simulator__ssh=False) as broker:
        yield broker


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store on a fresh database."""
    async with opened(tmp_path) as one:
        yield one


@pytest.fixture
def clock() -> Clock:
    """The time of the test."""
    return Clock()
