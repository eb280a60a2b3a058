"""One broker for a whole table of requests: none of them changes anything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from broker.app import serving
from broker.config import load_settings
from tests.service.conftest import QUICK, Broker
from tests.waiting import eventually


@asynccontextmanager
async def serving_on(folder: Path, **changes: Any) -> AsyncIterator[Broker]:
    """A broker in that folder that is ready; settings as in `serve`."""
    named = {name.replace("__", "."): value for name, value in changes.items()}
    flags = QUICK | {"database.url": str(folder / "broker.db")} | named
    settings = load_settings(file=None, environment={}, flags=flags)
    async with serving(settings) as started, aiohttp.ClientSession() as client:
        broker = Broker(started.url, started.parts, client)

        async def is_ready() -> bool:
            return (await broker.call("GET", "/ready"))[0] == 200

        await eventually(is_ready)
        yield broker


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def refusing(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Broker]:
    """A serving broker whose market is there, and whose machines never come up."""
    folder = tmp_path_factory.mktemp("broker")
    async with serving_on(folder, providers__simulator__ssh=False) as broker:
        yield broker
