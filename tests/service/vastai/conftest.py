"""A whole broker on an account at Vast.ai: real SQLite, HTTP, SSH, and the official client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest

from broker.clock import utcnow
from tests.service.conftest import Broker, Serve
from tests.service.vastai.asking import account, until_read
from tests.vast_wire import BootTimeline, VastWire, open_vast_wire

QUICK_BOOT = BootTimeline(keys=timedelta(milliseconds=200))


class ServeVastai(Protocol):
    """Starts a broker that rents at the wire-level simulator, with these settings."""

    def __call__(self, **settings: Any) -> AbstractAsyncContextManager[Broker]: ...


@pytest.fixture
def machines_run() -> bool:
    """Whether machines come up. Tests of what is decided before that say that they do not."""
    return True


@pytest.fixture
async def wire(tmp_path: Path, machines_run: bool) -> AsyncIterator[VastWire]:
    """The API of Vast.ai on loopback."""
    folder = tmp_path / "vast"
    async with open_vast_wire(folder, now=utcnow, boot=QUICK_BOOT, ssh=machines_run) as opened:
        yield opened


@pytest.fixture
def serve_vastai(serve: Serve, wire: VastWire) -> ServeVastai:
    """Start a broker whose only account is there."""

    @asynccontextmanager
    async def start(**settings: Any) -> AsyncIterator[Broker]:
        alone = {
            "providers__simulator__enabled": False,
            "lifecycle__reconciliation_interval": "100ms",
            "lifecycle__check_interval": "100ms",
        }
        async with serve(**{**account(wire), **alone, **settings}) as broker:
            yield broker

    return start


@pytest.fixture
async def broker(serve_vastai: ServeVastai) -> AsyncIterator[Broker]:
    """A serving broker whose only account is there, and has been read."""
    async with serve_vastai() as broker:
        await until_read(broker)
        yield broker


@pytest.fixture
async def with_simulator(serve: Serve, wire: VastWire) -> AsyncIterator[Broker]:
    """A broker with that account, and the simulated market beside it."""
    async with serve(providers__simulator__ssh=False, **account(wire)) as broker:
        await until_read(broker)
        yield broker
