"""What each marketplace account is like now: its health, its offers, its machines."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from broker.decide.destruction import Failing
from broker.decide.draining import counted
from broker.decide.funds import Credit
from broker.decide.ownership import (
    Machines,
    Owned,
    count_machines,
    judge_owners,
    ours_among,
    sessions_named,
)
from broker.errors import NotFound, ProviderUnavailable
from broker.model import LIVE, Event, Holder
from broker.store import Store
from broker.usecases.doors import Door, Health
from broker.usecases.feed import Coverage
from broker.usecases.fleet import Listing
from broker.usecases.launch import Tools
from providers.base import Capabilities, Instance
from providers.errors import ProviderError

log = logging.getLogger(__name__)

_PATIENCE = timedelta(seconds=5)
"""How long a look at the accounts waits for a provider's list before it shows the last one."""

_LIST_PATIENCE = timedelta(seconds=20)
"""How long a look at every instance of an account waits: it shows a fresh list or none."""


@dataclass(frozen=True, slots=True)
class Account:
    """One marketplace account."""

    name: str
    health: Health
    capabilities: Capabilities
    offers: int
    refreshed_at: datetime | None
    """When its offers were last read."""
    coverage: Coverage | None
    """How much of the market those are; None before the first good reading.

    Of what drains the market is not read: nothing is known of it.
    """
    credit: Credit | None
    machines: Machines | None
    """None before the first good list."""
    failing: Sequence[Failing]
    """The destructions that fail now."""
    draining: bool
    """Nothing new is rented there."""
    console: str | None
    """Where a person sees its machines."""


@dataclass(frozen=True, slots=True)
class AccountInstances:
    """Every instance of one account, as a fresh list has them."""

    listed_at: datetime
    instances: Sequence[Owned]


class Accounts:
    """Looks at all accounts."""

    def __init__(self, tools: Tools, consoles: Mapping[str, str]) -> None:
        self._tools = tools
        self._consoles = consoles

    async def look(self) -> list[Account]:
        """Every configured account; each is asked for its machines, for a few seconds at most."""
        return list(await asyncio.gather(*(self._look(name) for name in self._tools.doors)))

    async def stranded(self) -> list[str]:
        """The providers with sessions that nothing can be done for, and why: a sentence each."""
        doors = [door for door in self._tools.doors.values() if door.is_shut]
        live = await live_sessions(self._tools.store) if doors else Counter[str]()
        return [_stranded(door, live[door.name]) for door in doors if live[door.name]]

    async def contents(self, name: str) -> AccountInstances:
        """What the account really holds now.

        Raises NotFound where no such provider is configured, ProviderUnavailable where it cannot
        be listed.
        """
        fleet = self._tools.fleets.get(name)
        if fleet is None:
            raise NotFound.named("provider", name)
        try:
            async with asyncio.timeout(_LIST_PATIENCE.total_seconds()):
                listing = await fleet.fresh()
        except (ProviderError, TimeoutError) as error:
            why = str(error) or "It does not answer in time."
            raise ProviderUnavailable(f"{name} cannot be listed: {why}") from error
        holders = await self._holders(name, listing.instances)
        seen = await self._tools.store.sightings(name)
        ours = self._tools.rules.deployment
        return AccountInstances(
            listing.asked_at, judge_owners(listing.instances, holders, seen, ours)
        )

    async def tell_of_drains(self) -> None:
        """Say in the log and among the events which providers drain, and what is left there."""
        live = await live_sessions(self._tools.store)
        for door in self._tools.doors.values():
            if door.drain is None:
                continue
            reason = door.drain.reason(live[door.name])
            level = logging.WARNING if door.drain.is_reachable else logging.ERROR
            log.log(level, "%s: %s", door.name, reason, extra={"provider": door.name})
            data = {"provider": door.name, "sessions": live[door.name], "detail": reason}
            event = Event("provider.draining", self._tools.now(), data=data)
            await self._tools.store.add_event(event)

    async def _look(self, name: str) -> Account:
        listing = await self._listing(name)
        machines = await self._machines(name, listing.instances) if listing else None
        door = self._tools.doors[name]
        is_draining = door.drain is not None
        reading = self._tools.inventory.readings()[name]
        return Account(
            name=name,
            health=(await self._health(door)).but(self._tools.funds.shortage(name)),
            capabilities=door.capabilities,
            offers=reading.offers,
            refreshed_at=None if is_draining else reading.taken_at,
            coverage=None if is_draining else reading.coverage,
            credit=self._tools.funds.credit(name),
            machines=machines,
            failing=self._tools.destructions.failing(name),
            draining=is_draining,
            console=self._consoles.get(name),
        )

    async def _health(self, door: Door) -> Health:
        if door.drain is None:
            return door.health
        live = await live_sessions(self._tools.store)
        return door.health.but(door.drain.reason(live[door.name]))

    async def _listing(self, name: str) -> Listing | None:
        fleet = self._tools.fleets[name]
        with suppress(ProviderError, TimeoutError):
            async with asyncio.timeout(_PATIENCE.total_seconds()):
                return await fleet.fresh()
        return fleet.latest

    async def _machines(self, name: str, instances: Sequence[Instance]) -> Machines:
        holders = await self._holders(name, instances)
        return count_machines(instances, holders, self._tools.rules.deployment)

    async def _holders(self, name: str, instances: Sequence[Instance]) -> dict[str, Holder]:
        """The sessions that the labels of the instances name, and those that hold them.

        A label can be changed by hand; the record of a live session still names its instance.
        """
        store = self._tools.store
        labelled = {one.id for one, _ in ours_among(instances, self._tools.rules.deployment)}
        others = [one.id for one in instances if one.id not in labelled]
        holding = await store.sessions_with(name, others) if others else []
        return await store.holders(sorted({*sessions_named(instances), *holding}))


async def live_sessions(store: Store) -> Counter[str]:
    """Provider -> sessions that are not final."""
    live = Counter[str]()
    for (provider, status), count in (await store.counts()).items():
        live[provider] += count if status in LIVE else 0
    return live


def _stranded(door: Door, sessions: int) -> str:
    if door.drain is not None:
        return f"{door.name} is {door.drain.reason(sessions)}"
    hanging = counted(sessions)
    return f"{door.name} refuses our credentials, and {hanging} cannot be ended there: correct them"
