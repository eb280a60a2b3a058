"""What each marketplace account is like now: its health, its offers, its machines."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from broker.decide.funds import Credit
from broker.decide.plan import Machines, count_machines
from broker.usecases.doors import Health
from broker.usecases.feed import Coverage
from broker.usecases.fleet import Listing
from broker.usecases.launch import Tools
from providers.base import Capabilities, Instance
from providers.errors import ProviderError
from providers.label import parse_label

_PATIENCE = timedelta(seconds=5)
"""How long a look at the accounts waits for a provider's list before it shows the last one."""


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
    """How much of the market those are; None before the first good reading."""
    credit: Credit | None
    machines: Machines


class Accounts:
    """Looks at all accounts."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def look(self) -> list[Account]:
        """Every configured account; each is asked for its machines, for a few seconds at most."""
        return list(await asyncio.gather(*(self._look(name) for name in self._tools.doors)))

    async def _look(self, name: str) -> Account:
        listing = await self._listing(name)
        machines = await self._machines(listing.instances if listing else ())
        door = self._tools.doors[name]
        reading = self._tools.inventory.readings()[name]
        return Account(
            name=name,
            health=door.health.but(self._tools.funds.shortage(name)),
            capabilities=door.capabilities,
            offers=reading.offers,
            refreshed_at=reading.taken_at,
            coverage=reading.coverage,
            credit=self._tools.funds.credit(name),
            machines=machines,
        )

    async def _listing(self, name: str) -> Listing | None:
        fleet = self._tools.fleets[name]
        with suppress(ProviderError, TimeoutError):
            async with asyncio.timeout(_PATIENCE.total_seconds()):
                return await fleet.since(self._tools.now())
        return fleet.latest

    async def _machines(self, instances: Sequence[Instance]) -> Machines:
        labels = (parse_label(instance.label) for instance in instances)
        ids = sorted({label.session_id for label in labels if label is not None})
        holders = await self._tools.store.holders(ids)
        return count_machines(instances, holders, self._tools.rules.deployment)
