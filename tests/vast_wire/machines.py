"""The machines behind the instances: real SSH servers of the simulated market, and a proxy each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from providers.base import LaunchMode
from providers.gpus import gpu_type, nominal_vram_gb
from providers.simulator.account import Account
from providers.simulator.home import Home
from providers.simulator.keeper import Keeper
from providers.simulator.machine import HOST, NO_PORT, Fate, Launch, Machine
from providers.simulator.nvidia_smi import FACTS_NAME
from tests.vast_wire.contracts import Contract
from tests.vast_wire.misfortunes import Word
from tests.vast_wire.relays import Relay, free_port
from tests.vast_wire.rows import Address

_IDENTITY = 70_000
"""From this number on, a port is asked for that has the same number outside."""
_SLACK_SECONDS = 0.05


@dataclass
class _Real:
    """What there is of one machine."""

    machine: Machine
    home: Home
    fate: Fate
    address: Address
    relays: list[Relay] = field(default_factory=list)
    written_keys: tuple[str, ...] | None = None


class Machines:
    """The machines of one service; without SSH there are none, and nothing answers."""

    def __init__(self, data_dir: Path, now: Callable[[], datetime], *, ssh: bool) -> None:
        self._data_dir = data_dir
        self._now = now
        self._real: dict[int, _Real] = {}
        self._account = Account(data_dir) if ssh else None
        self._keeper = Keeper(data_dir) if ssh else None
        self._told: tuple[datetime, float] | None = None

    async def start(self, contract: Contract) -> None:
        """Make the machine of a new instance; it runs when its life says so."""
        if self._account is None:
            return
        direct, published, variables = _choose_ports(contract)
        relays = await _open_relays(contract, direct)
        launch = _launch(contract, tuple(published.values()), variables)
        fate = self._fate(contract, self._now())
        machine = self._account.rent(
            launch,
            lambda _: fate,
            now=self._now(),
            created_at=contract.created_at,
            ssh_port=direct,
            published={published[name][0]: published[name][1] for name in published},
        )
        address = _address(contract, direct, relays, {n: p for n, (_, p) in published.items()})
        home = Home(self._data_dir, machine)
        self._real[contract.id] = _Real(machine, home, fate, address, relays)
        self._tell()

    def address(self, contract: Contract) -> Address:
        """Where an instance is reached."""
        real = self._real.get(contract.id)
        if real is not None:
            return real.address
        return Address(HOST, NO_PORT, NO_PORT, dict.fromkeys(contract.order.ports, NO_PORT))

    def home(self, contract: Contract) -> Path | None:
        """The home folder of a machine; None while there is none."""
        real = self._real.get(contract.id)
        return real.home.path if real and _is_made(real) else None

    def settle(self, contracts: Iterable[Contract], now: datetime) -> None:
        """Let the machines do what the lives of their instances say."""
        if self._account is None:
            return
        is_changed = self._has_clock_jumped(now)
        for contract in contracts:
            real = self._real.get(contract.id)
            if real is None:
                continue
            if contract.is_gone(now):
                self._account.destroy(real.machine.id, destroyed_at=now, gone_at=now)
                self._drop(contract.id)
                is_changed = True
                continue
            fate = self._fate(contract, now)
            if fate != real.fate:
                self._account.change_fate(real.machine.id, fate)
                real.fate = fate
                is_changed = True
            self._write_keys(real, contract, now)
        if is_changed:
            self._tell()

    async def close(self) -> None:
        """Stop everything."""
        for contract_id in tuple(self._real):
            self._drop(contract_id)
        if self._keeper:
            await asyncio.to_thread(self._keeper.close)
        if self._account:
            self._account.close()

    def _fate(self, contract: Contract, now: datetime) -> Fate:
        begin, end = contract.running_span(now)
        return Fate(
            boots_at=begin, dies_at=end, shows_wrong_gpu=Word.WRONG_GPU in contract.oddities
        )

    def _write_keys(self, real: _Real, contract: Contract, now: datetime) -> None:
        """The service owns the list of keys: what others wrote into it is lost."""
        keys = tuple(one.key for one in contract.keys if one.works_at <= now and not one.is_lost)
        if keys == real.written_keys or not _is_made(real):
            return
        path = real.home.path / ".ssh" / "authorized_keys"
        path.write_text("".join(f"{key.strip()}\n" for key in keys), "utf-8")
        (real.home.path / ".vast_api_key").write_text(contract.api_key, "utf-8")
        real.written_keys = keys

    def _drop(self, contract_id: int) -> None:
        for relay in self._real.pop(contract_id).relays:
            relay.close()

    def _has_clock_jumped(self, now: datetime) -> bool:
        if self._told is None:
            return False
        told, at = self._told
        passed = asyncio.get_running_loop().time() - at
        return abs((now - told).total_seconds() - passed) > _SLACK_SECONDS and now != told

    def _tell(self) -> None:
        if self._keeper:
            now = self._now()
            self._keeper.tell(now)
            self._told = now, asyncio.get_running_loop().time()


def _is_made(real: _Real) -> bool:
    """Whether the process of the machines has made the disk."""
    with suppress(OSError):
        return (real.home.root / FACTS_NAME).exists()
    return False


def _choose_ports(
    contract: Contract,
) -> tuple[int, dict[str, tuple[int, int]], Mapping[str, str]]:
    """The port of SSH, docker's names of the others with their numbers, and what tells them.

    Only TCP ports are served; a UDP port has a number like the others.
    """
    direct = free_port()
    published: dict[str, tuple[int, int]] = {}
    variables = {"VAST_TCP_PORT_22": str(direct)} if contract.order.has_ssh else {}
    for name in contract.order.ports:
        number, _, protocol = name.partition("/")
        outside = free_port()
        inside = outside if int(number) >= _IDENTITY else int(number)
        published[f"{inside}/{protocol}"] = inside, outside
        variables[f"VAST_{protocol.upper()}_PORT_{number}"] = str(outside)
    return direct, published, variables


async def _open_relays(contract: Contract, direct: int) -> list[Relay]:
    """The proxy, and what stands in the place of direct SSH where that is spoilt."""
    relays = []
    if contract.order.has_ssh and Word.PROXY_REFUSES not in contract.oddities:
        relays.append(await Relay.open(direct, Word.PROXY_REFUSES))
    if Word.DIRECT_SILENT in contract.oddities:
        relays.append(await Relay.open(None, Word.DIRECT_SILENT))
    return relays


def _address(
    contract: Contract, direct: int, relays: Iterable[Relay], published: Mapping[str, int]
) -> Address:
    ports = {relay.instead_of: relay.port for relay in relays}
    told = ports.get(Word.DIRECT_SILENT, direct)
    if Word.DIRECT_REFUSES in contract.oddities:
        told = free_port()
    proxy = ports.get(Word.PROXY_REFUSES) or free_port()
    # Where there is Jupyter, the port of the row is Jupyter's, and SSH is beside it.
    return Address(HOST, told, proxy - ("jupyter" in contract.order.runtype), published)


def _launch(
    contract: Contract,
    published: tuple[tuple[int, int], ...],
    variables: Mapping[str, str],
) -> Launch:
    order, ask = contract.order, contract.ask
    keys = tuple(one.key for one in contract.keys)
    cuda = ask.get("cuda_max_good")
    return Launch(
        label=contract.label or "",
        offer_id=f"contract {contract.id}",
        host_id=f"contract {contract.id}",
        gpu_type=gpu_type(str(ask.get("gpu_name"))),
        gpu_count=int(ask.get("num_gpus") or 1),
        vram_gb=nominal_vram_gb(int(ask.get("gpu_ram") or 24_564)),
        cuda_version=float(cuda) if isinstance(cuda, int | float) else None,
        price_per_hour=Decimal(str(contract.price)),
        launch_mode=LaunchMode.SSH if order.has_ssh else LaunchMode.ENTRYPOINT,
        image=order.image,
        host_key=_new_host_key(),
        disk_gb=int(order.disk_gb),
        public_keys=keys,
        args=order.args,
        env={**order.variables, **variables, **_own_variables(contract, keys)},
        on_start=_safe(order.onstart) if order.has_ssh else None,
        ports=tuple(inside for inside, _ in published),
    )


def _safe(script: str | None) -> str | None:
    """A start script that leaves the settings of this very computer alone."""
    return script and script.replace("/etc/environment", "~/environment")


def _own_variables(contract: Contract, keys: tuple[str, ...]) -> Mapping[str, str]:
    """What the service puts into every container."""
    return {
        "CONTAINER_ID": str(contract.id),
        "CONTAINER_API_KEY": contract.api_key,
        "VAST_CONTAINERLABEL": f"C.{contract.id}",
        "PUBLIC_IPADDR": HOST,
        "SSH_PUBLIC_KEY": "\n".join(keys),
        "DATA_DIRECTORY": "/workspace/",
    }


def _new_host_key() -> str:
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
