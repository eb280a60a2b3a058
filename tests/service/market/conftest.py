"""The markets that the tests of this folder ask."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.store import Store
from tests.service.market.asking import NEW_CUDA, OFFERS, OLLAMA
from tests.service.markets import Client, ScriptedMarket, Site
from tests.service.store_examples import opened


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """Two markets: one with templates, one without, both read."""
    async with opened(tmp_path) as store:
        one = await _read_site(store)
        yield one
        await one.close()


async def _read_site(store: Store) -> Site:
    cloud = ScriptedMarket("cloud", *OFFERS[:3], templates=True)
    cloud.templates = (OLLAMA, NEW_CUDA)
    site = Site(store, cloud, ScriptedMarket("other", *OFFERS[3:]))
    await site.inventory.refresh_all()
    return site


@pytest.fixture
async def client(site: Site) -> AsyncIterator[Client]:
    """A client of the site."""
    async with site.client() as one:
        yield one
