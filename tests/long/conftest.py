"""The fixtures of the service tests, for suites that take minutes, and the vendor's tools."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

import pytest

from broker.clock import utcnow
from tests.long.vendor_market import NOW, Row, market_rows
from tests.long.vendor_tools import Client, Vendor, client_of, install_vendor
from tests.service.conftest import market_only, serve
from tests.vast_wire import VastWire, open_vast_wire

__all__ = ["market_only", "serve"]


@pytest.fixture(scope="session")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Vendor:
    """The vendor's tools, as anybody installs them."""
    return install_vendor(tmp_path_factory.mktemp("vendor") / "env")


class Serves(Protocol):
    """Opens the simulated service with these offers."""

    async def __call__(self, rows: list[Row]) -> VastWire: ...


@pytest.fixture
async def open_wire(tmp_path: Path) -> AsyncIterator[Serves]:
    """Open the simulated service, once in a test."""
    async with AsyncExitStack() as stack:

        async def opens(rows: list[Row]) -> VastWire:
            wire = open_vast_wire(tmp_path / "wire", now=utcnow, rows=rows)
            return await stack.enter_async_context(wire)

        yield opens


@pytest.fixture
def market() -> list[Row]:
    """The offers of most tests."""
    return market_rows(NOW)


@pytest.fixture
async def wire(open_wire: Serves, market: list[Row]) -> VastWire:
    """The simulated service with `market`."""
    return await open_wire(market)


@pytest.fixture
def client(vendor: Vendor, wire: VastWire, tmp_path: Path) -> Client:
    """The tools of somebody who has an account there."""
    return client_of(vendor, tmp_path / "home", wire.url, wire.api_key)
