"""What happens to machines that the vendor's command line rents: renting, waiting, logging in."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import asyncssh

from tests.long.vendor_tools import Client
from tests.vast_wire import VastWire
from tests.waiting import eventually

KEY = asyncssh.generate_private_key("ssh-ed25519")
PUBLIC_KEY = KEY.export_public_key().decode().strip()


async def rent(client: Client, ask: int, *flags: object) -> int:
    """The id of the instance that is made of an offer."""
    made = await client.run("create", "instance", ask, "--raw", *flags)
    assert made.json["success"] is True
    contract: int = made.json["new_contract"]
    return contract


async def until_running(client: Client, contract: int) -> dict[str, Any]:
    """The row of an instance once it runs."""

    async def look() -> dict[str, Any] | None:
        row: dict[str, Any] = await client.json("show", "instance", contract)
        return row if row["actual_status"] == "running" else None

    row: dict[str, Any] = await eventually(look)
    return row


async def until_gone(client: Client, contract: int) -> None:
    """Return once the service no longer knows an instance."""

    async def look() -> bool:
        shown = await client.json("show", "instance", contract)
        return bool(shown == {"instances": None})

    await eventually(look)


async def attached_ids(wire: VastWire, contract: int) -> list[int]:
    """The ids of the keys on a machine, which the vendor's tools never ask for."""
    headers = {"Authorization": f"Bearer {wire.api_key}"}
    path = f"{wire.url}/api/v0/instances/{contract}/ssh/"
    async with aiohttp.ClientSession(headers=headers) as http, http.get(path) as response:
        return [key["id"] for key in json.loads((await response.json())["ssh_keys"])]


async def log_in(url: str, key: asyncssh.SSHKey, command: str) -> str:
    """What a command says at an `ssh://` address; tried until it says something."""

    async def look() -> str | None:
        with suppress(OSError, asyncssh.DisconnectError):
            async with _connection(url, key) as connection:
                return str((await connection.run(command, check=True)).stdout)
        return None

    said: str = await eventually(look)
    return said


async def until_locked_out(url: str, key: asyncssh.SSHKey) -> None:
    """Return once a key is no longer accepted."""

    async def look() -> bool:
        try:
            async with _connection(url, key):
                return False
        except asyncssh.PermissionDenied:
            return True

    await eventually(look)


def _connection(url: str, key: asyncssh.SSHKey) -> Any:
    place = urlsplit(url)
    return asyncssh.connect(
        place.hostname or "",
        place.port or 22,
        username=place.username or "",
        client_keys=[key],
        known_hosts=None,
        config=[],
        agent_path=None,
    )
