"""What the contract tests share: opened providers, a clock to set, something to rent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest

from broker.clock import utcnow
from providers.base import LaunchSpec, Offer, Provider
from providers.label import Label
from providers.simulator import Fault, SimulatorOptions, SimulatorProvider, open_simulator
from providers.simulator.faults import Operation, Word
from providers.simulator.keeper import LOG_NAME
from providers.tensordock import TensordockOptions, TensordockProvider
from providers.vastai import VastaiOptions, VastaiProvider, open_vastai
from tests.tensordock_wire import Operation as DockOperation
from tests.tensordock_wire import TensordockWire, open_tensordock_wire
from tests.tensordock_wire import Word as DockWord
from tests.vast_wire import Misfortune, VastWire, open_vast_wire
from tests.vast_wire import Operation as VastOperation
from tests.vast_wire import Word as VastWord

A_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKHEChAsx0oJYbGcM0Fgyi0e6fIYk9vX3MtVq0tUXq6y me"
_QUICK = 0.001
"""The pace of marketplaces on the wire: hardly any pauses, and what they ask for is heeded."""
START = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)
Open = Callable[[], Awaitable[SimulatorProvider]]


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)


def a_label(session: str = "aaaaaaaaaaaa", *, deployment: str = "depl", attempt: int = 1) -> str:
    """The label of an attempt."""
    deadline = START + timedelta(hours=13)
    return str(Label(deployment, f"sess-{session}", deadline, attempt))


def a_spec(offer: Offer, label: str | None = None, **fields: Any) -> LaunchSpec:
    """A plain SSH machine."""
    return replace(LaunchSpec(offer, label or a_label(), public_keys=(A_KEY,)), **fields)


async def first_offer(provider: Provider) -> Offer:
    """Something to rent."""
    return (await provider.list_offers()).offers[0]


class Scene(Protocol):
    """A provider under test, and what its marketplace must be able to be made to do."""

    @property
    def provider(self) -> Provider: ...

    def let_boot(self) -> None:
        """Let enough time pass for every machine to run."""
        ...

    def fail(self, operation: str) -> None:
        """Let the next call of this kind fail without any effect."""
        ...

    def lose_reply(self, operation: str) -> None:
        """Let the answer of the next call of this kind be lost after it has had its effect."""
        ...

    def stall(self, calls: int) -> None:
        """Let that many readings of single instances take for ever."""
        ...


@dataclass
class SimulatorScene:
    """The simulated market, by a clock of its own and without SSH."""

    provider: SimulatorProvider
    clock: Clock

    def let_boot(self) -> None:
        self.clock.forward(60)

    def fail(self, operation: str) -> None:
        called = Operation.LIST if operation == "offers" else Operation(operation)
        self.provider.faults.add(Fault(Word.ERROR, called))

    def lose_reply(self, operation: str) -> None:
        self.provider.faults.add(Fault(Word.REPLY_LOST, Operation(operation)))

    def stall(self, calls: int) -> None:
        self.provider.faults.add(Fault(Word.SLOW, Operation.GET, calls, timedelta(hours=1)))


@dataclass
class VastaiScene:
    """An account at the wire-level simulator of Vast.ai, without SSH."""

    provider: VastaiProvider
    wire: VastWire
    clock: Clock

    def let_boot(self) -> None:
        self.clock.forward(60)

    def fail(self, operation: str) -> None:
        failures = {
            # Any other failure of a creation leaves open whether a machine was made.
            "create": Misfortune(VastWord.NO_CREDIT),
            "list": Misfortune(VastWord.ERROR),
            "offers": Misfortune(VastWord.ERROR),
            "get": Misfortune(VastWord.ERROR, VastOperation.SHOW),
            "destroy": Misfortune(VastWord.ERROR, VastOperation.DESTROY),
        }
        self.wire.misfortunes.add(failures[operation])

    def lose_reply(self, operation: str) -> None:
        self.wire.misfortunes.add(Misfortune(VastWord.REPLY_RESET, VastOperation(operation)))

    def stall(self, calls: int) -> None:
        self.wire.misfortunes.add(Misfortune(VastWord.HANGS, VastOperation.SHOW, times=calls))


@dataclass
class TensordockScene:
    """An organization at the wire-level simulator of TensorDock, without SSH."""

    provider: TensordockProvider
    wire: TensordockWire
    clock: Clock

    def let_boot(self) -> None:
        self.clock.forward(600)

    def fail(self, operation: str) -> None:
        failures = {
            # Any other failure of a creation leaves open whether a machine was made.
            "create": Misfortune(DockWord.NO_NODES),
            "list": Misfortune(DockWord.ERROR, DockOperation.LIST),
            "offers": Misfortune(DockWord.ERROR, DockOperation.LOCATIONS),
            "get": Misfortune(DockWord.ERROR, DockOperation.SHOW),
            "destroy": Misfortune(DockWord.ERROR, DockOperation.DESTROY),
        }
        self.wire.misfortunes.add(failures[operation])

    def lose_reply(self, operation: str) -> None:
        self.wire.misfortunes.add(Misfortune(DockWord.REPLY_RESET, DockOperation(operation)))

    def stall(self, calls: int) -> None:
        self.wire.misfortunes.add(Misfortune(DockWord.HANGS, DockOperation.SHOW, times=calls))


@pytest.fixture
def clock() -> Clock:
    """The time of the simulated market."""
    return Clock()


@pytest.fixture
async def simulator(tmp_path: Path, clock: Clock) -> AsyncIterator[SimulatorProvider]:
    """A simulated market that stands still, without SSH."""
    options = SimulatorOptions(tmp_path / "data", drift=timedelta(), ssh=False)
    provider = await open_simulator(options, clock)
    yield provider
    await provider.close()


@pytest.fixture
async def vast_wire(tmp_path: Path, clock: Clock) -> AsyncIterator[VastWire]:
    """The API of Vast.ai on loopback, without SSH, by the clock of this test."""
    async with open_vast_wire(tmp_path / "vast", now=clock, ssh=False) as wire:
        yield wire


@pytest.fixture
async def vastai(vast_wire: VastWire, clock: Clock) -> AsyncIterator[VastaiProvider]:
    """The account there, asked without pauses."""
    options = VastaiOptions(vast_wire.api_key, vast_wire.url, pace=_QUICK)
    provider = await open_vastai(options, clock)
    yield provider
    await provider.close()


@pytest.fixture
async def tensordock_wire(tmp_path: Path, clock: Clock) -> AsyncIterator[TensordockWire]:
    """The API of TensorDock on loopback, without SSH, by the clock of this test."""
    async with open_tensordock_wire(tmp_path / "tensordock", now=clock, ssh=False) as wire:
        yield wire


@pytest.fixture
async def tensordock(
    tensordock_wire: TensordockWire, clock: Clock
) -> AsyncIterator[TensordockProvider]:
    """The organization there, asked without pauses."""
    wire = tensordock_wire
    options = TensordockOptions(wire.api_token, wire.url, wire.auth_id, pace=_QUICK)
    provider = TensordockProvider(options, clock)
    yield provider
    await provider.close()


@pytest.fixture(params=["simulator", "vastai", "tensordock"])
def scene(request: pytest.FixtureRequest, clock: Clock) -> Scene:
    """Every adapter in turn."""
    provider = request.getfixturevalue(request.param)
    if isinstance(provider, TensordockProvider):
        return TensordockScene(provider, request.getfixturevalue("tensordock_wire"), clock)
    if isinstance(provider, VastaiProvider):
        return VastaiScene(provider, request.getfixturevalue("vast_wire"), clock)
    return SimulatorScene(provider, clock)


@pytest.fixture
async def open_market(tmp_path: Path) -> AsyncIterator[Open]:
    """Open the simulated market of this test, as often as wanted; nothing in it may go wrong."""
    opened: list[SimulatorProvider] = []

    async def opens() -> SimulatorProvider:
        boot_time = timedelta(milliseconds=100)
        options = SimulatorOptions(tmp_path / "data", boot_time=boot_time, drift=timedelta())
        opened.append(await open_simulator(options, utcnow))
        return opened[-1]

    yield opens
    for simulator in opened:
        await simulator.close()
    assert (tmp_path / "data" / LOG_NAME).read_text() == ""


@pytest.fixture
async def market(open_market: Open) -> SimulatorProvider:
    """A simulated market with machines that run."""
    return await open_market()
