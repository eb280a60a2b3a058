"""Somebody who speaks HTTP with the simulated Vast.ai, as the tests of it need it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp

from tests.vast_wire import VastWire, open_vast_wire
from tests.waiting import eventually

PLAIN = {"image": "ubuntu:22.04", "disk": 20, "runtype": "ssh_direct", "cancel_unavail": True}
"""A create call as a careful client sends it."""


class Customer:
    """A client without any manners of its own: it sends what it is told, once."""

    def __init__(self, wire: VastWire, http: aiohttp.ClientSession) -> None:
        self.wire = wire
        self._http = http

    async def ask(
        self, method: str, path: str, json: Any = None, key: str | None = None
    ) -> tuple[int, Any]:
        """Status and body of one call; the body as text where it is no JSON."""
        headers = {"Authorization": f"Bearer {self.wire.api_key if key is None else key}"}
        url = self.wire.url + path
        async with self._http.request(method, url, json=json, headers=headers) as response:
            is_json = response.headers["Content-Type"] == "application/json"
            return response.status, await (response.json() if is_json else response.text())

    async def search(self, **query: Any) -> list[Any]:
        """The offers that a search finds."""
        status, body = await self.ask("POST", "/api/v0/bundles/", query)
        assert status == 200, body
        return list(body["offers"])

    async def create(self, ask: int, **fields: Any) -> tuple[int, Any]:
        """The answer to a create call."""
        return await self.ask("PUT", f"/api/v0/asks/{ask}/", {**PLAIN, **fields})

    async def rent(self, gpu: str = "RTX 4090", **fields: Any) -> int:
        """The id of a new machine."""
        rows = self.wire.offers()
        ask = next(row["id"] for row in rows if row["gpu_name"] == gpu)
        status, body = await self.create(ask, **fields)
        assert (200, True) == (status, body["success"]), body
        return int(body["new_contract"])

    async def listed(self, query: str = "") -> tuple[int, Any]:
        """The answer to the list of instances."""
        return await self.ask("GET", f"/api/v1/instances/{query}")

    async def destroy(self, machine: int) -> tuple[int, Any]:
        """The answer to a destruction."""
        return await self.ask("DELETE", f"/api/v0/instances/{machine}/")

    async def show(self, machine: int) -> Any:
        """What the service tells of one machine; None when it is gone."""
        status, body = await self.ask("GET", f"/api/v0/instances/{machine}/?owner=me")
        assert status == 200, body
        return body["instances"]

    async def until(self, machine: int, status: str) -> Any:
        """The row of a machine as soon as it has this status."""

        async def look() -> Any:
            row = self.wire.instance(machine)
            return row if row and row["actual_status"] == status else None

        return await eventually(look)


@asynccontextmanager
async def still_customer(
    data_dir: Path, now: Callable[[], datetime], **options: Any
) -> AsyncIterator[Customer]:
    """A customer of a service that has its time from the test, and no machines."""
    async with (
        open_vast_wire(data_dir, now=now, ssh=False, **options) as wire,
        aiohttp.ClientSession() as http,
    ):
        yield Customer(wire, http)
