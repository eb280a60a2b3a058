"""The simulated market with everything that only some marketplaces have, for one process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from providers import registry
from providers.base import Capabilities, Instance, InstanceStatus, LaunchSpec
from providers.registry import Options
from providers.simulator.adapter import SimulatorProvider
from providers.simulator.faults import Fault, Operation, Word
from providers.simulator.home import FOLDER
from providers.simulator.nvidia_smi import FACTS_NAME
from tests.waiting import eventually

_MORE_DISK_GB = 10


class OddMarket(SimulatorProvider):
    """It owns its machines' keys, knows watchdogs, and tells the account's credit."""

    is_stillborn = False
    """Its machines never start, and it says so at once."""
    is_dearer = False
    """Its machines cost a little more than their offers, which only its list tells."""

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, watchdog=True, balance=True)

    async def balance(self) -> Decimal:
        """More than enough."""
        return Decimal(1000)

    async def create(self, spec: LaunchSpec) -> Instance:
        spec = replace(spec, public_keys=())
        if self.is_stillborn:
            self.faults.add(Fault(Word.ERROR, Operation.BOOT))
            return replace(await super().create(spec), status=InstanceStatus.FAILED)
        if self.is_dearer:
            larger = replace(spec, disk_gb=spec.disk_gb + _MORE_DISK_GB)
            return replace(await super().create(larger), price_per_hour=None)
        return await super().create(spec)

    async def attach_key(self, instance_id: str, public_key: str) -> None:
        """Write the key into the machine's file."""
        file = await self._keys_file(instance_id)
        lines = [line for line in _lines(file) if _data(line) != _data(public_key)]
        _rewrite(file, [*lines, public_key])

    async def detach_key(self, instance_id: str, public_key: str) -> None:
        """Take the key out of the machine's file."""
        file = await self._keys_file(instance_id)
        _rewrite(file, [line for line in _lines(file) if _data(line) != _data(public_key)])

    async def _keys_file(self, instance_id: str) -> Path:
        """As soon as the machine has it."""
        await super().get(instance_id)
        machine = self._options.data_dir.resolve() / FOLDER / instance_id

        async def is_whole() -> bool:
            return (machine / FACTS_NAME).exists()

        await eventually(is_whole)
        return machine / "root" / ".ssh" / "authorized_keys"


def take_over(*, is_stillborn: bool, is_dearer: bool) -> None:
    """Let this process have the odd market where others have the simulated one."""
    usual = registry.FACTORIES["simulator"]

    async def factory(options: Options, data_dir: Path, now: registry.Now) -> OddMarket:
        plain = await usual(options, data_dir, now)
        assert isinstance(plain, SimulatorProvider)
        market = OddMarket(plain._options, plain._marketplace, plain._thread)
        market.is_stillborn, market.is_dearer = is_stillborn, is_dearer
        return market

    registry.FACTORIES = {**registry.FACTORIES, "simulator": factory}


def _lines(file: Path) -> Sequence[str]:
    return file.read_text().splitlines() if file.exists() else ()


def _rewrite(file: Path, lines: Sequence[str]) -> None:
    # In one step: the machine reads it at any time.
    draft = file.with_name(f"{file.name}.draft")
    draft.write_text("".join(f"{line}\n" for line in lines))
    draft.replace(file)


def _data(public_key: str) -> str:
    """A public key without its comment."""
    return " ".join(public_key.split()[:2])
