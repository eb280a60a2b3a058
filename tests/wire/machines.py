"""Real machines behind the instances of a service: the SSH servers of the simulated market."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from providers.simulator.account import Account
from providers.simulator.home import Home
from providers.simulator.keeper import Keeper
from providers.simulator.machine import Fate, Launch, Machine
from providers.simulator.nvidia_smi import FACTS_NAME

_SLACK_SECONDS = 0.05


@dataclass
class _Real:
    """What there is of one machine."""

    machine: Machine
    home: Home
    fate: Fate
    written_keys: tuple[str, ...] | None = None


class RealMachines:
    """The machines of one service, known by the ids of its instances.

    What is changed reaches the machines with `tell`.
    """

    def __init__(self, data_dir: Path, now: Callable[[], datetime]) -> None:
        self._data_dir = data_dir
        self._now = now
        self._real: dict[object, _Real] = {}
        self._account = Account(data_dir)
        self._keeper = Keeper(data_dir)
        self._told: tuple[datetime, float] | None = None
        self._is_changed = False

    def __contains__(self, instance_id: object) -> bool:
        return instance_id in self._real

    def start(
        self,
        instance_id: object,
        launch: Launch,
        fate: Fate,
        *,
        created_at: datetime,
        ssh_port: int,
        published: Mapping[int, int] | None = None,
    ) -> None:
        """Make the machine of a new instance; it runs when its fate says so."""
        machine = self._account.rent(
            launch,
            lambda _: fate,
            now=self._now(),
            created_at=created_at,
            ssh_port=ssh_port,
            published=published,
        )
        self._real[instance_id] = _Real(machine, Home(self._data_dir, machine), fate)
        self._is_changed = True

    def change(self, instance_id: object, fate: Fate) -> None:
        """Let something else happen to a machine, where it is something else."""
        real = self._real[instance_id]
        if fate != real.fate:
            self._account.change_fate(real.machine.id, fate)
            real.fate = fate
            self._is_changed = True

    def home(self, instance_id: object) -> Home | None:
        """The disk of a machine; None while there is none."""
        real = self._real.get(instance_id)
        return real.home if real and _is_made(real.home) else None

    def write_keys(self, instance_id: object, keys: tuple[str, ...]) -> bool:
        """Let these keys alone log in, and what others wrote be lost; returns whether it is new."""
        real, home = self._real[instance_id], self.home(instance_id)
        if keys == real.written_keys or home is None:
            return False
        path = home.path / ".ssh" / "authorized_keys"
        path.write_text("".join(f"{key.strip()}\n" for key in keys), "utf-8")
        real.written_keys = keys
        return True

    def remove(self, instance_id: object, now: datetime) -> None:
        """End a machine and delete its disk."""
        real = self._real.pop(instance_id)
        self._account.destroy(real.machine.id, destroyed_at=now, gone_at=now)
        self._is_changed = True

    def tell(self) -> None:
        """Make the machines follow what was changed, and a clock that has jumped."""
        now = self._now()
        if self._is_changed or self._has_clock_jumped(now):
            self._keeper.tell(now)
            self._told = now, asyncio.get_running_loop().time()
            self._is_changed = False

    async def close(self) -> None:
        """Stop everything."""
        await asyncio.to_thread(self._keeper.close)
        self._account.close()

    def _has_clock_jumped(self, now: datetime) -> bool:
        if self._told is None:
            return False
        told, at = self._told
        passed = asyncio.get_running_loop().time() - at
        return abs((now - told).total_seconds() - passed) > _SLACK_SECONDS and now != told


def new_host_key() -> str:
    """A host key of a machine, as PEM."""
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


def _is_made(home: Home) -> bool:
    """Whether the process of the machines has made the disk."""
    with suppress(OSError):
        return (home.root / FACTS_NAME).exists()
    return False
