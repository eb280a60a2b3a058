"""Marketplaces that answer what a test tells them, and the market's routes over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NoReturn

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from broker.api.costs import CostRoutes
from broker.api.gpus import GpuRoutes
from broker.api.inventory import InventoryRoutes
from broker.api.middleware import middlewares
from broker.api.offer_health import OfferHealthRoutes
from broker.api.templates import TemplateRoutes
from broker.store import Store
from broker.usecases.costs import Costs
from broker.usecases.doors import Door
from broker.usecases.inventory import Inventory
from broker.usecases.templates import Templates
from providers.base import Capabilities, Offer, OfferList, Template
from providers.errors import ProviderError
from tests.offers import NOW, able
from tests.service.documented import documented

CACHE_TTL = timedelta(minutes=1)
BACKOFF_TTL = timedelta(minutes=5)

Client = TestClient[web.Request, web.Application]


class Clock:
    """The time of a test."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, **span: float) -> None:
        """Let time pass."""
        self.now += timedelta(**span)


class ScriptedMarket:
    """A provider that lists what it is told to, or fails as it is told to."""

    def __init__(self, name: str, *offers: Offer, **capabilities: Any) -> None:
        self.name = name
        self.capabilities: Capabilities = able(**capabilities)
        self.offers: Sequence[Offer] = offers
        self.templates: Sequence[Template] = ()
        self.error: Exception | None = None
        self.is_complete = True
        self.detail = ""
        self.dropped = 0
        self.credit = Decimal(0)
        """USD, told where the capabilities say so."""
        self.readings = 0
        self.answers = asyncio.Event()
        """Set: the market answers; cleared: it keeps its callers waiting."""
        self.answers.set()
        self.is_asked = asyncio.Event()
        """Set when its offers are asked for."""

    async def list_offers(self) -> OfferList:
        self.readings += 1
        self.is_asked.set()
        await self.answers.wait()
        if self.error is not None:
            raise self.error
        return OfferList(
            tuple(self.offers), self.dropped, complete=self.is_complete, detail=self.detail
        )

    async def list_templates(self) -> Sequence[Template]:
        self.readings += 1
        if self.error is not None:
            raise self.error
        return self.templates

    async def balance(self) -> Decimal:
        self.readings += 1
        self.is_asked.set()
        await self.answers.wait()
        if self.error is not None:
            raise self.error
        return self.credit

    async def close(self) -> None:
        """There is nothing to release."""

    async def _refuse(self, *_: object) -> NoReturn:
        raise NotImplementedError

    create = list_instances = get = destroy = _refuse


class Deaf:
    """Listens to calls and requests, and remembers nothing."""

    def provider_called(
        self, provider: str, operation: str, seconds: float, error: ProviderError | None
    ) -> None:
        """A provider was called."""

    def request_answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered."""


def doors_of(markets: Sequence[ScriptedMarket], clock: Clock) -> Mapping[str, Door]:
    """A door to each market."""
    return {market.name: Door(market, Deaf(), now=clock) for market in markets}


def inventory_of(store: Store, clock: Clock, *markets: ScriptedMarket) -> Inventory:
    """The inventory of these markets, not read yet."""
    return Inventory(
        doors_of(markets, clock), store, cache_ttl=CACHE_TTL, backoff_ttl=BACKOFF_TTL, now=clock
    )


class Site:
    """The routes of the market and of the costs, served over loopback."""

    def __init__(self, store: Store, *markets: ScriptedMarket) -> None:
        self.clock = Clock()
        self.markets = markets
        self.inventory = inventory_of(store, self.clock, *markets)
        self.templates = Templates(doors_of(markets, self.clock), now=self.clock)
        self.costs = Costs(store, now=self.clock)

    def application(self) -> web.Application:
        """The routes behind the usual middleware."""
        application = web.Application(middlewares=middlewares(Deaf()))
        for resource in (
            InventoryRoutes(self.inventory, self.templates),
            GpuRoutes(self.inventory),
            TemplateRoutes(self.templates),
            OfferHealthRoutes(self.inventory),
            CostRoutes(self.costs),
        ):
            resource.mount_on(application)
        return application

    def client(self) -> Client:
        """A client of the site; to be entered."""
        return TestClient(TestServer(self.application()), trace_configs=[documented()])

    async def close(self) -> None:
        """End what is still being read."""
        await self.inventory.close()
        await self.templates.close()
