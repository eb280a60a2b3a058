"""One list for everybody who asks."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from broker.usecases.fleet import Fleet
from tests.service.conftest import Broker


async def test_those_who_ask_while_a_list_is_under_way_get_the_next_one(broker: Broker) -> None:
    """A list that was asked for earlier does not do; one more serves all who wait."""
    tools = broker.parts.tools
    fleet = Fleet(tools.doors["simulator"], now=tools.now)
    first = asyncio.create_task(fleet.since(tools.now()))
    for _ in range(5):
        await asyncio.sleep(0)
    asked_at = [tools.now() for _ in range(5)]

    async with asyncio.timeout(10):
        later = await asyncio.gather(*(fleet.since(instant) for instant in asked_at))

    assert 1 == len({listing.asked_at for listing in later})
    assert (await first).asked_at < asked_at[0] <= later[0].asked_at


async def test_a_recent_list_is_shared(broker: Broker) -> None:
    """Who is content with a recent list causes no new one."""
    tools = broker.parts.tools
    fleet = Fleet(tools.doors["simulator"], now=tools.now)
    listing = await fleet.since(tools.now())

    assert listing is await fleet.recent(timedelta(minutes=1))
