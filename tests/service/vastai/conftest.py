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
from tests.vast_wire import BootTimeline, Operation, VastWire, open_vast_wire

QUICK_BOOT = BootTimeline(keys=timedelta(milliseconds=200))


class ServeVastai(Protocol):
    """Starts a broker that rents at the wire-level simulator, with these settings."""

    def __call__(self, **settings: Any) -> AbstractAsyncContextManager[Broker]: ...


@pytest.fixture
async def wire(tmp_path: Path) -> AsyncIterator[VastWire]:
    """The API of Vast.ai on loopback, with machines that run."""
    folder = tmp_path / "vast"
    async with open_vast_wire(folder, now=utcnow, boot=QUICK_BOOT) as opened:
        yield opened


@pytest.fixture
def serve_vastai(serve: Serve, wire: VastWire) -> ServeVastai:
    """Start a broker whose only account is there."""

    @asynccontextmanager
    async def start(**settings: Any) -> AsyncIterator[Broker]:
        account = {
            "providers__simulator__enabled": False,
            "providers__vastai__api_key": wire.api_key,
            "providers__vastai__api_url": wire.url,
            "providers__vastai__pace": 0,
        }
        async with serve(**{**account, **settings}) as broker:
            yield broker

    return start


@pytest.fixture
async def vast_broker(serve_vastai: ServeVastai) -> AsyncIterator[Broker]:
    """A serving broker whose only account is there."""
    async with serve_vastai() as broker:
        yield broker


def calls_of(wire: VastWire, operation: Operation) -> list[Any]:
    """The bodies of the calls of one kind."""
    return [call.body for call in wire.calls if call.operation is operation]


async def rent(broker: Broker, **fields: Any) -> tuple[int, Any]:
    """POST /sessions: the cheapest trusted offer, whatever its GPU."""
    return await broker.rent(gpu_type=None, **fields)


def direct_offer(wire: VastWire) -> str:
    """The cheapest trusted offer whose machine has an address of its own."""
    rows = [
        row
        for row in wire.offers()
        if row["direct_port_count"] and row["verification"] == "verified"
    ]
    return f"vastai-{min(rows, key=lambda row: row['dph_base'])['id']}"
