"""The aiohttp application: every table of routes, mounted."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Protocol, runtime_checkable

from aiohttp import web

from broker import __version__
from broker.api import shapes
from broker.api.costs import CostRoutes
from broker.api.documentation import DocumentationRoutes
from broker.api.gpus import GpuRoutes
from broker.api.holds import HoldRoutes
from broker.api.http import LARGEST_BODY
from broker.api.instances import InstanceRoutes
from broker.api.inventory import InventoryRoutes
from broker.api.middleware import middlewares
from broker.api.observations import ObservationRoutes
from broker.api.offer_health import OfferHealthRoutes
from broker.api.openapi import build_document
from broker.api.receipts import ReceiptRoutes
from broker.api.routes import Resource
from broker.api.schemas import Schema
from broker.api.sessions import SessionRoutes
from broker.api.system import Pulse, SystemRoutes
from broker.api.templates import TemplateRoutes
from broker.app.build import Parts
from broker.app.reports import present_sweep
from broker.decide.money import live_costs
from broker.metrics import Snapshot
from broker.usecases.costs import Costs


@runtime_checkable
class HasRoutes(Protocol):
    """A provider that brings routes of its own, mounted under its name."""

    def routes(self) -> Iterable[web.AbstractRouteDef]: ...


def build_application(parts: Parts, pulse: Pulse) -> web.Application:
    """The application that serves `parts`."""
    application = web.Application(
        middlewares=middlewares(parts.metrics), client_max_size=LARGEST_BODY
    )
    for resource in _resources(parts, pulse):
        resource.mount_on(application)
    for name, provider in parts.providers.items():
        if isinstance(provider, HasRoutes):
            own = web.Application()
            own.add_routes(provider.routes())
            application.add_subapp(f"/{name}", own)
    for route in application.router.routes():
        if route.resource is not None:
            parts.metrics.route_served(route.method, route.resource.canonical)
    return application


@cache
def api_document() -> Schema:
    """The OpenAPI document of all routes."""
    routes = [route for resource in _RESOURCES for route in resource.ROUTES]
    return build_document(routes, __version__)


_RESOURCES: tuple[type[Resource], ...] = (
    InventoryRoutes,
    GpuRoutes,
    OfferHealthRoutes,
    TemplateRoutes,
    SessionRoutes,
    HoldRoutes,
    ObservationRoutes,
    ReceiptRoutes,
    CostRoutes,
    InstanceRoutes,
    SystemRoutes,
    DocumentationRoutes,
)


def _resources(parts: Parts, pulse: Pulse) -> list[Resource]:
    tools = parts.tools
    shown = Shown(parts)
    return [
        SystemRoutes(pulse, shown.metrics, parts.accounts, shown.sweep, tools.now),
        InstanceRoutes(parts.accounts, tools.now),
        SessionRoutes(
            parts.opening,
            parts.sessions,
            parts.rekeying,
            parts.idempotency,
            tools.store,
            tools.now,
        ),
        HoldRoutes(parts.holds),
        ObservationRoutes(parts.sessions, parts.idle, tools.store, tools.now),
        ReceiptRoutes(parts.sessions, tools.now),
        InventoryRoutes(tools.inventory, tools.templates),
        GpuRoutes(tools.inventory),
        TemplateRoutes(tools.templates),
        OfferHealthRoutes(tools.inventory),
        CostRoutes(Costs(tools.store, now=tools.now)),
        DocumentationRoutes(api_document()),
    ]


class Shown:
    """What the system routes show, gathered from all parts."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._begun_at = parts.tools.steady()

    async def metrics(self) -> bytes:
        tools = self._parts.tools
        now = tools.now()
        readings = tools.inventory.readings()
        return self._parts.metrics.expose(
            Snapshot(
                sessions=await tools.store.counts(),
                burn=live_costs(await tools.store.meters(), now).burn_per_hour,
                accrued=self._parts.metrics.spending.until(now),
                offers={name: reading.offers for name, reading in readings.items()},
                inventory_age={
                    name: tools.steady() - self._begun_at if reading.age is None else reading.age
                    for name, reading in readings.items()
                },
                balances=tools.funds.balances,
                balance_floors=tools.funds.floors,
                failing=tools.destructions.counts,
                is_unwritable=tools.store.outage is not None,
            )
        )

    async def sweep(self, is_dry_run: bool) -> shapes.SweepReport:
        report = await self._parts.sweeper.sweep(self._parts.tools.doors, is_dry_run=is_dry_run)
        return present_sweep(report)
