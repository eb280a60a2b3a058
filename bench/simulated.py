"""How many machines the simulated market carries: with SSH servers, and without."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic

from bench.figures import Figure, count, megabytes, seconds
from bench.processes import children, cpu_seconds, memory_mb
from broker.clock import utcnow
from broker.model import KeyType
from broker.ssh.connection import SshPool
from broker.ssh.keys import KeyPair, generate
from broker.ssh.probe import VERIFY_COMMAND, parse_verification
from providers.base import Instance, LaunchSpec
from providers.simulator import SimulatorOptions, SimulatorProvider, open_simulator

WITH_SSH, WITHOUT_SSH = 500, 5_000
_LOGINS = 20
_LISTS = 5
_REST = 10
"""Seconds at rest over which the computing time is taken."""
_PATIENCE = 120.0
_LOGIN_PATIENCE = timedelta(seconds=30)


async def measure() -> Sequence[Figure]:
    """First with SSH, then without."""
    with TemporaryDirectory() as folder:
        real = await _with_ssh(Path(folder))
    with TemporaryDirectory() as folder:
        booked = await _without_ssh(Path(folder))
    return [*real, *booked]


async def _with_ssh(folder: Path) -> list[Figure]:
    key = generate(KeyType.ED25519, "bench")
    market = await _open(folder, WITH_SSH, has_ssh=True)
    try:
        begun = monotonic()
        await _rent(market, WITH_SSH, key)
        rented = monotonic() - begun
        instances = await _until_up(market)
        up = monotonic() - begun
        (child,) = children(os.getpid())
        at_rest = await _load(market, child)
        logins = await _log_in(random.sample(instances, _LOGINS), key)
        return [
            count("with SSH: machines that tell their address", len(instances), WITH_SSH),
            count("with SSH: logins to machines taken at random", len(logins), _LOGINS),
            seconds("with SSH: a login and nvidia-smi, median", median(logins)),
            seconds("with SSH: all rented", rented),
            seconds("with SSH: all booted", up),
            megabytes("with SSH: the child's memory", memory_mb(child)),
            Figure("with SSH: the child's share of one core at rest", f"{at_rest:.0%}"),
        ]
    finally:
        await market.close()


async def _without_ssh(folder: Path) -> list[Figure]:
    key = generate(KeyType.ED25519, "bench")
    market = await _open(folder, WITHOUT_SSH, has_ssh=False)
    try:
        before = memory_mb(os.getpid())
        begun = monotonic()
        await _rent(market, WITHOUT_SSH, key)
        rented = monotonic() - begun
        instances = await _until_up(market)
        lists = []
        for _ in range(_LISTS):
            begun = monotonic()
            await market.list_instances()
            lists.append(monotonic() - begun)
        return [
            count("without SSH: machines", len(instances), WITHOUT_SSH),
            count("without SSH: processes beside the broker's", len(children(os.getpid())), 0),
            seconds("without SSH: all rented", rented),
            seconds("without SSH: a list of all, median", median(lists)),
            megabytes("without SSH: memory that they add", memory_mb(os.getpid()) - before),
        ]
    finally:
        await market.close()


async def _open(folder: Path, offers: int, *, has_ssh: bool) -> SimulatorProvider:
    options = SimulatorOptions(folder, drift=timedelta(), offers=offers, ssh=has_ssh)
    return await open_simulator(options, utcnow)


async def _rent(market: SimulatorProvider, machines: int, key: KeyPair) -> None:
    for offer in (await market.list_offers()).offers[:machines]:
        spec = LaunchSpec(
            offer=offer, label=f"bench-{offer.provider_id}", public_keys=(key.public_line,)
        )
        await market.create(spec)


async def _until_up(market: SimulatorProvider) -> Sequence[Instance]:
    """All machines, as soon as each tells its address."""
    async with asyncio.timeout(_PATIENCE):
        while True:
            instances = await market.list_instances()
            if all(instance.ssh for instance in instances):
                return instances
            await asyncio.sleep(0.25)


async def _load(market: SimulatorProvider, child: int) -> float:
    """The share of one core that the child takes while the account is listed once a second."""
    begun, before = monotonic(), cpu_seconds(child)
    for _ in range(_REST):
        await asyncio.sleep(1)
        await market.list_instances()
    return (cpu_seconds(child) - before) / (monotonic() - begun)


async def _log_in(instances: Sequence[Instance], key: KeyPair) -> list[float]:
    """Seconds of each login that showed GPUs."""
    pool = SshPool(1)
    times = []
    for instance in instances:
        begun = monotonic()
        result = await pool.run(
            instance.ssh[0],
            instance.ssh_user,
            key.private_pem,
            VERIFY_COMMAND,
            host_keys=(),
            timeout=_LOGIN_PATIENCE,
        )
        assert parse_verification(result).gpus
        times.append(monotonic() - begun)
    pool.close()
    return times
