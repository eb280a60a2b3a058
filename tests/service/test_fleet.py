"""One list for everybody who asks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from broker.clock import Clock
from broker.usecases.doors import Door
from broker.usecases.fleet import Fleet
from providers.base import Instance, InstanceStatus
from tests.offers import NOW
from tests.service.conftest import Broker
from tests.service.markets import Deaf, ScriptedMarket

_MACHINES = 20


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


class _Account(ScriptedMarket):
    """An account with some machines, at a computer whose time passes when it is told to."""

    def __init__(self) -> None:
        super().__init__("cloud")
        self.lists = 0
        self.passed = 0.0
        clock = Clock(lambda: NOW + timedelta(seconds=self.passed), lambda: self.passed)
        self.fleet = Fleet(Door(self, Deaf(), now=clock.now), clock)

    async def list_instances(self) -> Sequence[Instance]:
        self.lists += 1
        return [Instance(str(n), None, InstanceStatus.RUNNING) for n in range(_MACHINES)]


async def test_those_who_look_again_and_again_let_an_account_rest() -> None:
    """After a list they wait the longer, the more machines it had; then they ask again."""
    account = _Account()
    await account.fleet.fresh()
    account.passed = _MACHINES * 0.0004
    looking = asyncio.create_task(account.fleet.recent())
    for _ in range(5):
        await asyncio.sleep(0)
    assert (account.lists, looking.done()) == (1, False)

    account.passed = _MACHINES * 0.0005
    async with asyncio.timeout(10):
        await looking
    assert account.lists == 2


async def test_whoever_needs_a_list_now_gets_one_while_the_account_rests() -> None:
    """Those who let it rest are served by it too."""
    account = _Account()
    await account.fleet.fresh()
    account.passed = _MACHINES * 0.0004
    looking = asyncio.create_task(account.fleet.recent())
    await asyncio.sleep(0)

    async with asyncio.timeout(10):
        listing = await account.fleet.fresh()
        assert listing is await looking
    assert account.lists == 2
