"""Somebody who speaks HTTP with the simulated TensorDock, and logs in to its machines."""

from __future__ import annotations

import json as encoding
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import asyncssh

from tests.tensordock_wire import LOCATIONS, TensordockWire, open_tensordock_wire
from tests.waiting import eventually

KEY = asyncssh.generate_private_key("ssh-ed25519")
PUBLIC_KEY = KEY.export_public_key().decode().strip()
CHUBBUCK = LOCATIONS[0]
GPU = "geforcertx4090-pcie-24gb"
SSH_FORWARD = {"internal_port": 22, "external_port": 20_009}
INSTALL_KEY = f"echo '{PUBLIC_KEY}' > /home/user/.ssh/authorized_keys"


def an_order(name: str = "gpub-depl-aaaaaaaaaaaa-1", **changes: Any) -> dict[str, Any]:
    """A creation as a careful client sends it; None takes a field away."""
    resources = {"vcpu_count": 8, "ram_gb": 32, "storage_gb": 100, "gpus": {GPU: {"count": 1}}}
    attributes = {
        "name": name,
        "type": "virtualmachine",
        "image": "ubuntu2404",
        "resources": resources,
        "location_id": CHUBBUCK.id,
        "port_forwards": [SSH_FORWARD],
        "ssh_key": PUBLIC_KEY,
        **changes,
    }
    given = {name: value for name, value in attributes.items() if value is not None}
    return {"data": {"type": "virtualmachine", "attributes": given}}


class Customer:
    """A client without any manners of its own: it sends what it is told, once."""

    def __init__(self, wire: TensordockWire, http: aiohttp.ClientSession) -> None:
        self.wire = wire
        self.http = http

    async def ask(
        self, method: str, path: str, json: Any = None, token: str | None = None
    ) -> tuple[int, Any]:
        """Status and body of one call; the body as text where it is no JSON."""
        headers = {"Authorization": f"Bearer {self.wire.api_token if token is None else token}"}
        url = self.wire.url + path
        async with self.http.request(method, url, json=json, headers=headers) as response:
            text = await response.text()
            is_json = response.content_type == "application/json"
            return response.status, encoding.loads(text) if is_json else text

    async def create(self, name: str = "gpub-depl-aaaaaaaaaaaa-1", **changes: Any) -> Any:
        """The answer to a creation."""
        return await self.ask("POST", "/instances", an_order(name, **changes))

    async def rent(self, **changes: Any) -> str:
        """The id of a new machine."""
        status, body = await self.create(**changes)
        assert status == 200, body
        return str(body["data"]["id"])

    async def show(self, machine: str) -> Any:
        """What the service tells of one machine; None when it is gone."""
        status, body = await self.ask("GET", f"/instances/{machine}")
        return body if status == 200 else None

    async def delete(self, machine: str) -> int:
        """The status of the answer to a deletion."""
        return (await self.ask("DELETE", f"/instances/{machine}"))[0]

    async def listed(self) -> Any:
        """The body of the list."""
        return (await self.ask("GET", "/instances"))[1]

    async def balance(self, auth_id: str | None = None) -> Any:
        """The answer of the old API."""
        form = {"api_key": auth_id or self.wire.auth_id, "api_token": self.wire.api_token}
        async with self.http.post(self.wire.v0_url + "/billing/balance", data=form) as response:
            return await response.json()

    async def run(self, machine: str, command: str, username: str = "user") -> tuple[int, str]:
        """Exit status and output of a command, as soon as one can log in."""
        return await eventually(lambda: self.attempt(machine, command, username))

    async def attempt(self, machine: str, command: str, username: str = "user") -> Any:
        """The same, at once; the reason where nobody can log in is not told."""
        told = await self.show(machine)
        try:
            async with self.connect(told, username) as connection:
                done = await connection.run(command)
        except (OSError, asyncssh.Error):
            return None
        return done.exit_status, str(done.stdout) + str(done.stderr)

    def connect(self, told: Any, username: str = "user") -> Any:
        """A connection to a machine where the service tells it to be, to be entered."""
        ports = {one["internal_port"]: one["external_port"] for one in told["portForwards"]}
        return asyncssh.connect(
            *(told["ipAddress"], ports.get(22, 22)),
            username=username,
            client_keys=[KEY],
            known_hosts=None,
            config=None,
        )


@asynccontextmanager
async def customer_of(
    data_dir: Path, now: Callable[[], datetime], **options: Any
) -> AsyncIterator[Customer]:
    """A customer of a fresh organization."""
    async with (
        open_tensordock_wire(data_dir, now=now, **options) as wire,
        aiohttp.ClientSession() as http,
    ):
        yield Customer(wire, http)
