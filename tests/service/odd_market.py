"""The simulated market with habits that other marketplaces have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from providers import registry
from providers.base import BootFailure, Capabilities, Instance, InstanceStatus, LaunchSpec
from providers.errors import NotFound, RateLimited, Unavailable
from providers.registry import Options
from providers.simulator.adapter import SimulatorProvider
from providers.simulator.faults import Fault, Operation, Word
from providers.simulator.home import FOLDER
from providers.simulator.nvidia_smi import FACTS_NAME
from tests.service.conftest import Broker, Serve
from tests.waiting import eventually


class OddMarket(SimulatorProvider):
    """It owns its machines' keys, makes machines that never start, and forgets some."""

    failure: BootFailure | None = None
    """Why machines fail, as it tells."""
    stillborn = 0
    """So many creations more make a machine that never starts."""
    is_listing_nothing = False
    """Its lists are complete, it says, and empty."""
    accidents = 0
    """So many lists more end in an error that no adapter may let through."""
    denials = 0
    """So many times more it says that a machine which exists is gone."""
    failures = 0
    """So many times more, after that, it does not answer about a machine."""
    key_troubles = 0
    """So many times more it does not take a key."""
    limited = 0
    """So many destructions more come too early."""
    asked = 0
    """How often it was asked for one machine."""
    calls: list[tuple[str, str]]
    """Every `attach` and `detach`, with the data of the key."""

    specs: list[LaunchSpec]
    """What was asked of it to make."""

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, watchdog=True)

    async def create(self, spec: LaunchSpec) -> Instance:
        self.specs.append(spec)
        if self.stillborn > 0:
            self.stillborn -= 1
            self.faults.add(Fault(Word.ERROR, Operation.BOOT))
            made = await super().create(replace(spec, public_keys=()))
            return replace(made, status=InstanceStatus.FAILED, failure=self.failure)
        return await super().create(replace(spec, public_keys=()))

    async def list_instances(self) -> Sequence[Instance]:
        if self.accidents > 0:
            self.accidents -= 1
            raise ZeroDivisionError
        listed = await super().list_instances()
        return () if self.is_listing_nothing else [self._told(one) for one in listed]

    async def get(self, instance_id: str) -> Instance:
        self.asked += 1
        if self.denials > 0:
            self.denials -= 1
            raise NotFound
        if self.failures > 0:
            self.failures -= 1
            raise Unavailable
        return self._told(await super().get(instance_id))

    async def destroy(self, instance_id: str) -> None:
        if self.limited > 0:
            self.limited -= 1
            raise RateLimited
        await super().destroy(instance_id)

    async def attach_key(self, instance_id: str, public_key: str) -> None:
        """Append the key to the machine's file."""
        self.calls.append(("attach", _data(public_key)))
        if self.key_troubles > 0:
            self.key_troubles -= 1
            raise Unavailable
        file = await self._keys_file(instance_id)
        lines = file.read_text().splitlines() if file.exists() else []
        if _data(public_key) not in map(_data, lines):
            _rewrite(file, [*lines, public_key])

    async def detach_key(self, instance_id: str, public_key: str) -> None:
        """Take the key out of the machine's file."""
        self.calls.append(("detach", _data(public_key)))
        if self.key_troubles > 0:
            self.key_troubles -= 1
            raise Unavailable
        file = await self._keys_file(instance_id)
        kept = [line for line in file.read_text().splitlines() if _data(line) != _data(public_key)]
        _rewrite(file, kept)

    async def forget_keys(self, instance_id: str) -> None:
        """Rewrite the machine's file, as if nobody had been let in."""
        _rewrite(await self._keys_file(instance_id), [])

    def _told(self, instance: Instance) -> Instance:
        is_failed = instance.status is InstanceStatus.FAILED
        return replace(instance, failure=self.failure) if is_failed else instance

    async def _keys_file(self, instance_id: str) -> Path:
        """As soon as the machine has it."""
        await super().get(instance_id)
        machine = self._options.data_dir.resolve() / FOLDER / instance_id

        async def is_whole() -> bool:
            return (machine / FACTS_NAME).exists()

        await eventually(is_whole)
        return machine / "root" / ".ssh" / "authorized_keys"


def _rewrite(file: Path, lines: Sequence[str]) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines))


def _data(public_key: str) -> str:
    """A public key without its comment."""
    return " ".join(public_key.split()[:2])


def odd_market(broker: Broker) -> OddMarket:
    """The market behind the broker's back."""
    provider = broker.parts.providers["simulator"]
    assert isinstance(provider, OddMarket)
    return provider


@pytest.fixture
def serve_oddly(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Start a broker whose market is odd."""
    usual = registry.FACTORIES["simulator"]

    async def factory(options: Options, data_dir: Path, now: registry.Now) -> OddMarket:
        plain = await usual(options, data_dir, now)
        assert isinstance(plain, SimulatorProvider)
        market = OddMarket(plain._options, plain._marketplace, plain._thread)
        market.calls, market.specs = [], []
        return market

    monkeypatch.setitem(registry.FACTORIES, "simulator", factory)  # type: ignore[arg-type]
    return serve
