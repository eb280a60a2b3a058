"""The aiohttp application: every table of routes, mounted."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Protocol, runtime_checkable

from aiohttp import hdrs, web

from broker.api.costs import CostRoutes
from broker.api.gpus import GpuRoutes
from broker.api.http import Route
from broker.api.inventory import InventoryRoutes
from broker.api.middleware import middlewares
from broker.api.offer_health import OfferHealthRoutes
from broker.api.sessions import SessionRoutes
from broker.api.system import Pulse, SystemRoutes
from broker.api.templates import TemplateRoutes
from broker.app.build import Parts
from broker.decide.money import cost, live_costs
from broker.metrics import Snapshot
from broker.usecases.accounts import Accounts
from broker.usecases.costs import Costs

LARGEST_BODY = 1_000_000


@runtime_checkable
class HasRoutes(Protocol):
    """A provider that brings routes of its own, mounted under its name."""

    def routes(self) -> Iterable[web.AbstractRouteDef]: ...


def build_application(parts: Parts, pulse: Pulse) -> web.Application:
    """The application that serves `parts`."""
    application = web.Application(
        middlewares=middlewares(parts.metrics), client_max_size=LARGEST_BODY
    )
    for route in _routes(parts, pulse):
        application.router.add_route(route.method, route.path, route.handler)
        if route.method == hdrs.METH_GET:
            application.router.add_route(hdrs.METH_HEAD, route.path, route.handler)
    for name, provider in parts.providers.items():
        if isinstance(provider, HasRoutes):
            own = web.Application()
            own.add_routes(provider.routes())
            application.add_subapp(f"/{name}", own)
    return application


def _routes(parts: Parts, pulse: Pulse) -> list[Route]:
    tools = parts.tools
    shown = Shown(parts)
    system = SystemRoutes(pulse, shown.metrics, Accounts(tools), shown.sweep, tools.now)
    sessions = SessionRoutes(
        parts.opening,
        parts.sessions,
        parts.rekeying,
        parts.idle,
        parts.receipts,
        tools.store,
        tools.now,
    )
    return [
        *system.routes(),
        *sessions.routes(),
        *InventoryRoutes(tools.inventory, tools.templates).routes(),
        *GpuRoutes(tools.inventory).routes(),
        *TemplateRoutes(tools.templates).routes(),
        *OfferHealthRoutes(tools.inventory).routes(),
        *CostRoutes(Costs(tools.store, now=tools.now)).routes(),
    ]


class Shown:
    """What the system routes show, gathered from all parts."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def metrics(self) -> bytes:
        tools = self._parts.tools
        now = tools.now()
        accrued: dict[str, Decimal] = {}
        for accrual in await tools.store.accruals():
            accrued[accrual.provider] = accrued.get(accrual.provider, Decimal(0)) + cost(
                accrual, now
            )
        readings = tools.inventory.readings()
        return self._parts.metrics.expose(
            Snapshot(
                sessions=await tools.store.counts(),
                burn=live_costs(await tools.store.meters(), now).burn_per_hour,
                accrued=accrued,
                offers={name: reading.offers for name, reading in readings.items()},
                inventory_age={
                    name: reading.age.total_seconds() if reading.age else None
                    for name, reading in readings.items()
                },
            )
        )

    async def sweep(self, is_dry_run: bool) -> dict[str, Any]:
        report = await self._parts.sweeper.sweep(self._parts.tools.doors, is_dry_run=is_dry_run)
        return report.present()
