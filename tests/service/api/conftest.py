"""One broker for a whole table of requests: none of them changes anything."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from broker.app import serving
from broker.config import load_settings
from tests.service.conftest import QUICK, Broker
from tests.waiting import eventually


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def refusing(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Broker]:
    """A serving broker whose market is there, and whose machines never come up."""
    flags = QUICK | {
        "database.url": str(tmp_path_factory.mktemp("broker") / "broker.db"),
        "providers.simulator.ssh": False,
    }
    settings = load_settings(file=None, environment={}, flags=flags)
    async with serving(settings) as started, aiohttp.ClientSession() as client:
        broker = Broker(started.url, started.parts, client)

        async def is_ready() -> bool:
            return (await broker.call("GET", "/ready"))[0] == 200

        await eventually(is_ready)
        yield broker
