"""Logging in to the machines of the simulated Vast.ai."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import asyncssh

from broker.clock import utcnow
from providers.simulator.keeper import LOG_NAME
from tests.contract.vast_customers import Customer
from tests.vast_wire import open_vast_wire
from tests.waiting import eventually

KEY = asyncssh.generate_private_key("ssh-ed25519")
PUBLIC_KEY = KEY.export_public_key().decode().strip()
Address = tuple[str, int]


@asynccontextmanager
async def real_customer(data_dir: Path, **options: Any) -> AsyncIterator[Customer]:
    """A customer of a service with machines, whose process has nothing to complain about."""
    async with (
        open_vast_wire(data_dir, now=utcnow, **options) as wire,
        aiohttp.ClientSession() as http,
    ):
        yield Customer(wire, http)
    log = data_dir / LOG_NAME
    assert not log.exists() or log.read_text() == ""


async def knock(address: Address, key: Any = KEY) -> str:
    """What comes of one attempt to log in: `in`, `denied`, `silent` or `refused`."""
    try:
        async with (
            asyncio.timeout(1),
            asyncssh.connect(
                *address, username="root", client_keys=[key], known_hosts=None, config=None
            ),
        ):
            return "in"
    except asyncssh.PermissionDenied:
        return "denied"
    except TimeoutError:
        return "silent"
    except (OSError, asyncssh.Error):
        return "refused"


async def log_in(address: Address, command: str, key: Any = KEY) -> str:
    """What a command prints, as soon as one can log in."""

    async def attempt() -> Any:
        try:
            async with asyncssh.connect(
                *address, username="root", client_keys=[key], known_hosts=None, config=None
            ) as connection:
                return await connection.run(command)
        except (OSError, asyncssh.Error):
            return None

    done = await eventually(attempt)
    assert done.exit_status == 0, done.stderr
    return str(done.stdout)


def direct(row: Any) -> Address:
    """Where a machine itself is reached."""
    return row["public_ipaddr"].strip(), int(row["ports"]["22/tcp"][0]["HostPort"])


def proxy(row: Any) -> Address:
    """Where it is reached by a detour."""
    return row["ssh_host"], row["ssh_port"]


async def attach(customer: Customer, machine: int) -> None:
    """Put our key on a machine."""
    status, body = await customer.ask(
        "POST", f"/api/v0/instances/{machine}/ssh/", {"ssh_key": PUBLIC_KEY}
    )
    assert (200, True) == (status, body["success"])
