"""A broker with an account at the wire-level simulator of Vast.ai."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.clock import utcnow
from tests.service.conftest import Broker, Serve
from tests.service.vast.asking import account, vastai
from tests.vast_wire import VastWire, open_vast_wire
from tests.waiting import eventually


@pytest.fixture
async def wire(tmp_path: Path) -> AsyncIterator[VastWire]:
    """An account at Vast.ai, whose machines never come up."""
    async with open_vast_wire(tmp_path / "vast", now=utcnow, ssh=False) as one:
        yield one


@pytest.fixture
async def broker(serve: Serve, wire: VastWire) -> AsyncIterator[Broker]:
    """A broker with that account alone, which has been read."""
    async with serve(providers__simulator__enabled=False, **account(wire)) as one:
        await _read(one)
        yield one


@pytest.fixture
async def with_simulator(serve: Serve, wire: VastWire) -> AsyncIterator[Broker]:
    """A broker with that account and the simulated market beside it."""
    async with serve(providers__simulator__ssh=False, **account(wire)) as one:
        await _read(one)
        yield one


async def _read(broker: Broker) -> None:
    """Wait until the broker knows the market and the credit."""

    async def is_read() -> bool:
        seen = await vastai(broker)
        return bool(seen["offers"]) and seen["balance"] is not None

    await eventually(is_read)
