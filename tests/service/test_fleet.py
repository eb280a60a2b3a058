"""One list for everybody who asks."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from broker.usecases.fleet import Fleet
from tests.service.conftest import Broker


async def test_those_who_ask_while_a_list_is_under_way_get_the_next_one(broker: Broker) -> None:
    """A list that was asked for earlier does not do; one more serves all who wait."""
    parts = broker.parts
    fleet = Fleet(parts.tools.doors["simulator"], parts.clock)
    first = asyncio.create_task(fleet.fresh())
    for _ in range(5):
        await asyncio.sleep(0)
    asked_at = parts.tools.now()

    async with asyncio.timeout(10):
        later = await asyncio.gather(*(fleet.fresh() for _ in range(5)))

    assert 1 == len({listing.asked_at for listing in later})
    assert (await first).asked_at < asked_at <= later[0].asked_at


async def test_a_recent_list_is_shared(broker: Broker) -> None:
    """Who is content with a recent list causes no new one."""
    parts = broker.parts
    fleet = Fleet(parts.tools.doors["simulator"], parts.clock)
    listing = await fleet.fresh()

    assert listing is await fleet.recent(timedelta(minutes=1))
