"""Simulated machines as their users see them: renting, reaching, logging in."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import asyncssh

from providers.base import Instance
from providers.simulator import SimulatorProvider
from tests.contract.conftest import a_spec
from tests.waiting import eventually

KEY = asyncssh.generate_private_key("ssh-ed25519")
OTHER_KEY = asyncssh.generate_private_key("ssh-ed25519")
PROBE = "nvidia-smi --query-gpu=name,memory.total --format=csv,noheader,nounits"


async def rent(market: SimulatorProvider, **fields: Any) -> Instance:
    """A machine that KEY opens, as soon as it is reached."""
    return await until_reached(market, (await start(market, **fields)).id)


async def start(market: SimulatorProvider, **fields: Any) -> Instance:
    """A machine that KEY opens, once it is up."""
    offer = (await market.list_offers()).offers[0]
    fields = {"public_keys": (public(KEY),), **fields}
    return await market.create(a_spec(offer, f"machine of {offer.id}", **fields))


async def until_reached(market: SimulatorProvider, instance_id: str) -> Instance:
    """The machine as soon as somebody listens at its address."""

    async def is_reached() -> bool:
        instance = await market.get(instance_id)
        return bool(instance.ssh) and await is_listening(instance)

    await eventually(is_reached)
    return await market.get(instance_id)


async def is_listening(instance: Instance) -> bool:
    """Whether connections to its SSH port are accepted."""
    try:
        _, writer = await asyncio.open_connection(instance.ssh[0].host, instance.ssh[0].port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def is_down(instance: Instance) -> bool:
    """Whether connections to its SSH port are refused."""
    return not await is_listening(instance)


def public(key: asyncssh.SSHKey) -> str:
    """The OpenSSH line of a key."""
    return key.export_public_key().decode().strip()


def log_in(
    instance: Instance, key: asyncssh.SSHKey = KEY, user: str = "root", **options: Any
) -> Any:
    """A connection to a machine."""
    (endpoint,) = instance.ssh
    options = {"known_hosts": None, "config": [], "agent_path": None, **options}
    return asyncssh.connect(
        endpoint.host, endpoint.port, username=user, client_keys=[key], **options
    )


async def run(instance: Instance, command: str, **options: Any) -> asyncssh.SSHCompletedProcess:
    """What one command says."""
    async with log_in(instance) as connection:
        done: asyncssh.SSHCompletedProcess = await connection.run(command, **options)
        return done


async def gets_in(instance: Instance, key: asyncssh.SSHKey, user: str = "root") -> bool:
    """Whether a key opens a machine."""
    try:
        async with log_in(instance, key, user):
            return True
    except asyncssh.PermissionDenied:
        return False


def is_alive(pid: int) -> bool:
    """Whether a process runs."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
