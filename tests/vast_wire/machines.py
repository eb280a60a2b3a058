"""The machines behind the instances: real SSH servers of the simulated market, and a proxy each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from providers.base import LaunchMode
from providers.gpus import gpu_type, nominal_vram_gb
from providers.simulator.machine import HOST, NO_PORT, Fate, Launch
from tests.vast_wire.contracts import Contract
from tests.vast_wire.misfortunes import Word
from tests.vast_wire.rows import Address
from tests.wire.machines import RealMachines, new_host_key
from tests.wire.relays import Relay, free_port

_IDENTITY = 70_000
"""From this number on, a port is asked for that has the same number outside."""


@dataclass
class _Way:
    """How one machine is reached."""

    address: Address
    relays: list[Relay] = field(default_factory=list)


class Machines:
    """The machines of one service; without SSH there are none, and nothing answers."""

    def __init__(self, data_dir: Path, now: Callable[[], datetime], *, ssh: bool) -> None:
        self._now = now
        self._ways: dict[int, _Way] = {}
        self._real = RealMachines(data_dir, now) if ssh else None

    async def start(self, contract: Contract) -> None:
        """Make the machine of a new instance; it runs when its life says so."""
        if self._real is None:
            return
        direct, published, variables = _choose_ports(contract)
        relays = await _open_relays(contract, direct)
        self._real.start(
            contract.id,
            _launch(contract, tuple(published.values()), variables),
            _fate(contract, self._now()),
            created_at=contract.created_at,
            ssh_port=direct,
            published=dict(published.values()),
        )
        address = _address(contract, direct, relays, {n: p for n, (_, p) in published.items()})
        self._ways[contract.id] = _Way(address, relays)
        self._real.tell()

    def address(self, contract: Contract) -> Address:
        """Where an instance is reached."""
        way = self._ways.get(contract.id)
        if way is not None:
            return way.address
        return Address(HOST, NO_PORT, NO_PORT, dict.fromkeys(contract.order.ports, NO_PORT))

    def home(self, contract: Contract) -> Path | None:
        """The home folder of a machine; None while there is none."""
        home = self._real.home(contract.id) if self._real else None
        return home.path if home else None

    def settle(self, contracts: Iterable[Contract], now: datetime) -> None:
        """Let the machines do what the lives of their instances say."""
        if self._real is None:
            return
        for contract in contracts:
            if contract.id not in self._ways:
                continue
            if contract.is_gone(now):
                self._real.remove(contract.id, now)
                self._drop(contract.id)
                continue
            self._real.change(contract.id, _fate(contract, now))
            self._write_keys(self._real, contract, now)
        self._real.tell()

    async def close(self) -> None:
        """Stop everything."""
        for contract_id in tuple(self._ways):
            self._drop(contract_id)
        if self._real:
            await self._real.close()

    def _write_keys(self, real: RealMachines, contract: Contract, now: datetime) -> None:
        """The service owns the list of keys: what others wrote into it is lost."""
        keys = tuple(one.key for one in contract.keys if one.works_at <= now and not one.is_lost)
        home = self.home(contract)
        if real.write_keys(contract.id, keys) and home:
            (home / ".vast_api_key").write_text(contract.api_key, "utf-8")

    def _drop(self, contract_id: int) -> None:
        for relay in self._ways.pop(contract_id).relays:
            relay.close()


def _fate(contract: Contract, now: datetime) -> Fate:
    begin, end = contract.running_span(now)
    return Fate(boots_at=begin, dies_at=end, shows_wrong_gpu=Word.WRONG_GPU in contract.oddities)


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
        host_key=new_host_key(),
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
