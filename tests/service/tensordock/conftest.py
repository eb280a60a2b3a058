"""A whole broker on an organization at TensorDock: real SQLite, HTTP and SSH."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest

from broker.clock import utcnow
from tests.service.conftest import Broker, Serve
from tests.tensordock_wire import TensordockWire, assert_sound, open_tensordock_wire
from tests.waiting import eventually


class ServeTensordock(Protocol):
    """Starts a broker that rents at the wire-level simulator, with these settings."""

    def __call__(self, **settings: Any) -> AbstractAsyncContextManager[Broker]: ...


@pytest.fixture
async def wire(tmp_path: Path) -> AsyncIterator[TensordockWire]:
    """The API of TensorDock on loopback; whatever a test does, its rules hold at the end."""
    async with open_tensordock_wire(tmp_path / "tensordock", now=utcnow) as opened:
        yield opened
        assert_sound(opened)


@pytest.fixture
def serve_tensordock(serve: Serve, wire: TensordockWire) -> ServeTensordock:
    """Start a broker whose only organization is there."""

    @asynccontextmanager
    async def start(**settings: Any) -> AsyncIterator[Broker]:
        alone = {
            "providers__simulator__enabled": False,
            "providers__tensordock__api_token": wire.api_token,
            "providers__tensordock__auth_id": wire.auth_id,
            "providers__tensordock__api_url": wire.url,
            "providers__tensordock__pace": 0,
        }
        async with serve(**{**alone, **settings}) as broker:
            yield broker

    return start


@pytest.fixture
async def broker(serve_tensordock: ServeTensordock) -> AsyncIterator[Broker]:
    """A serving broker whose only organization is there, and has been read."""
    async with serve_tensordock() as broker:

        async def is_read() -> bool:
            _, body = await broker.call("GET", "/api/v1/providers")
            (account,) = body["providers"]
            return bool(account["offers"]) and account["balance"] is not None

        await eventually(is_read)
        yield broker
