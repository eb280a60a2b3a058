"""The real machines behind the virtual ones, and how they are reached."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from providers.base import LaunchMode
from providers.gpus import gpu_type
from providers.simulator.home import Home
from providers.simulator.machine import HOST, Fate, Launch
from providers.simulator.nvidia_smi import SCRIPT
from tests.tensordock_wire.cloud_init import installed_keys, start_script, variables
from tests.tensordock_wire.lives import VirtualMachine, delay_of
from tests.tensordock_wire.misfortunes import Word
from tests.tensordock_wire.orders import SSH, Forward
from tests.wire.answers import Body
from tests.wire.machines import RealMachines, new_host_key
from tests.wire.relays import Relay, free_port

USER = "user"
_USUAL_GB = 24
_MEMORY = re.compile(r"-(\d+)gb$")
_NO_DRIVER = "#!/bin/sh\necho 'nvidia-smi: command not found' >&2\nexit 127\n"


class Running:
    """The machines of one service; without SSH there are none, and nothing answers."""

    def __init__(self, data_dir: Path, now: Callable[[], datetime], *, ssh: bool) -> None:
        self._now = now
        self._relays: dict[str, list[Relay]] = {}
        self._real = RealMachines(data_dir, now) if ssh else None

    async def start(self, one: VirtualMachine) -> None:
        """Reserve where a new machine is reached, and make it.

        Its ports are really taken on this computer, so another one than was granted may
        have to be told; a machine with an address of its own is at port 22 where this
        computer lets us have that, and behind a forwarded port elsewhere.
        """
        one.address = HOST
        if self._real is None:
            return
        inner, relays = free_port(), []
        granted = []
        for forward in one.forwards:
            target = inner if forward.inside == SSH else forward.inside
            relays.append(await _forwarded(target, forward.outside))
            granted.append(Forward(forward.inside, relays[-1].port, forward.protocol))
        if one.order.has_own_ip and Word.FORWARDS_IGNORED not in one.oddities:
            address = f"127.77.{inner // 256}.{inner % 256}"
            with suppress(OSError):
                relays.append(await Relay.open(inner, host=address, port=SSH))
                one.address = address
            if one.address == HOST and not any(one.inside == SSH for one in granted):
                relays.append(await Relay.open(inner))
                granted.append(Forward(SSH, relays[-1].port))
        one.forwards = tuple(granted)
        self._relays[one.id] = relays
        fate = _fate(one, self._now())
        self._real.start(one.id, _launch(one), fate, created_at=one.created_at, ssh_port=inner)
        self._real.tell()

    def home(self, one: VirtualMachine) -> Path | None:
        """The home folder of a machine; None while there is none."""
        home = self._real.home(one.id) if self._real else None
        return home.path if home else None

    def settle(self, machines: Iterable[VirtualMachine], now: datetime) -> None:
        """Let the machines do what their lives say."""
        if self._real is None:
            return
        for one in machines:
            if one.id not in self._relays:
                continue
            if one.deleted_at is not None and one.deleted_at <= now:
                self._real.remove(one.id, now)
                self._close(one.id)
                continue
            self._real.change(one.id, _fate(one, now))
            home = self._real.home(one.id)
            if home:
                _settle_driver(one, home, now)
                self._real.write_keys(one.id, _keys(one, now))
        self._real.tell()

    async def close(self) -> None:
        """Stop everything."""
        for machine_id in tuple(self._relays):
            self._close(machine_id)
        if self._real:
            await self._real.close()

    def _close(self, machine_id: str) -> None:
        for relay in self._relays.pop(machine_id):
            relay.close()


async def _forwarded(target: int, port: int) -> Relay:
    """A forwarded port: the one that was granted, or another where this computer uses it."""
    with suppress(OSError):
        return await Relay.open(target, port=port)
    return await Relay.open(target)


def _settle_driver(one: VirtualMachine, home: Home, now: datetime) -> None:
    """Let `nvidia-smi` be there, or not yet."""
    if Word.NO_DRIVER not in one.oddities:
        return
    is_there = now >= one.ssh_at + delay_of(one.oddities, Word.NO_DRIVER)
    path, text = home.root / "bin" / "nvidia-smi", SCRIPT if is_there else _NO_DRIVER
    if path.read_text("utf-8") != text:
        path.write_text(text, "utf-8")


def _keys(one: VirtualMachine, now: datetime) -> tuple[str, ...]:
    """The keys that work at an instant."""
    delay = delay_of(one.oddities, Word.KEY_LATE)
    return one.public_keys if now >= one.ssh_at + delay else ()


def keys_of(one: VirtualMachine, ssh_key: str | None) -> tuple[str, ...]:
    """The keys that a new machine gets, by the field and by cloud-init."""
    keys = [ssh_key] if ssh_key and Word.KEY_IGNORED not in one.oddities else []
    return tuple(dict.fromkeys([*keys, *installed_keys(_cloud_init(one))]))


def _cloud_init(one: VirtualMachine) -> Body:
    """What the machine really gets of it."""
    return {} if Word.CLOUD_INIT_IGNORED in one.oddities else one.order.cloud_init


def _fate(one: VirtualMachine, now: datetime) -> Fate:
    begin, end = one.up_span(now)
    return Fate(boots_at=begin, dies_at=end, shows_wrong_gpu=Word.WRONG_GPU in one.oddities)


def _launch(one: VirtualMachine) -> Launch:
    name = one.order.gpu or ""
    memory = _MEMORY.search(name)
    return Launch(
        label=one.name,
        offer_id=one.id,
        host_id=one.id,
        gpu_type=gpu_type(name),
        gpu_count=one.order.gpu_count,
        vram_gb=int(memory[1]) if memory else _USUAL_GB,
        cuda_version=None,
        price_per_hour=one.rate,
        launch_mode=LaunchMode.SSH,
        image=one.order.image,
        host_key=new_host_key(),
        disk_gb=one.order.storage_gb,
        env=variables(_cloud_init(one)),
        on_start=start_script(_cloud_init(one)),
        user=USER,
    )
