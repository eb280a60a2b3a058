"""Health, readiness, metrics, the providers, and a sweep on request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any, Protocol

from aiohttp import hdrs, web
from pydantic import Field

from broker.api.http import Query, Route, json_response, parse_body, parse_query
from broker.api.models import NoBody, NoQuery
from broker.usecases.accounts import Account, Accounts

Expose = Callable[[], Awaitable[bytes]]


class Pulse(Protocol):
    """How the daemon is: asked by the health routes."""

    @property
    def is_ready(self) -> bool: ...

    @property
    def inventory_state(self) -> str:
        """`ok`; `degraded`: some offers cannot be read; `unavailable`: none can."""
        ...

    @property
    def troubles(self) -> list[str]:
        """What does not work although it should: ended tasks, sweeps that stand still."""
        ...


class SweepQuery(Query):
    """How to sweep."""

    dry_run: Annotated[bool, Field(description="Only tell what would be done.")] = True


class SystemRoutes:
    """Handlers that tell how the broker itself is."""

    def __init__(
        self,
        pulse: Pulse,
        expose: Expose,
        accounts: Accounts,
        sweep: Callable[[bool], Awaitable[dict[str, Any]]],
        now: Callable[[], datetime],
    ) -> None:
        self._pulse = pulse
        self._expose = expose
        self._accounts = accounts
        self._sweep = sweep
        self._now = now

    def routes(self) -> list[Route]:
        """The table of these routes."""
        return [
            Route("GET", "/health", self.health, "Whether the broker is well", NoQuery),
            Route("GET", "/ready", self.ready, "Whether new sessions are taken", NoQuery),
            Route("GET", "/metrics", self.metrics, "Metrics for Prometheus", NoQuery),
            Route("GET", "/api/v1/providers", self.providers, "The marketplaces", NoQuery),
            Route("POST", "/api/v1/sweep", self.sweep, "Sweep once", SweepQuery, NoBody),
        ]

    async def health(self, _: web.Request) -> web.Response:
        troubles = self._pulse.troubles
        is_ready = self._pulse.is_ready
        is_well = is_ready and not troubles
        body: dict[str, Any] = {
            "status": "ok" if is_well else "unavailable",
            "timestamp": self._now(),
            "services": {
                "lifecycle": "running" if is_well else "stopped",
                "inventory": self._pulse.inventory_state,
                "ready": "true" if is_ready else "false",
            },
        }
        if troubles:
            body["troubles"] = troubles
        return json_response(body, status=200 if is_well else 503)

    async def ready(self, _: web.Request) -> web.Response:
        is_ready = self._pulse.is_ready
        body = {"ready": is_ready, "timestamp": self._now()}
        return json_response(body, status=200 if is_ready else 503)

    async def metrics(self, _: web.Request) -> web.Response:
        headers = {hdrs.CONTENT_TYPE: "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=await self._expose(), headers=headers)

    async def providers(self, request: web.Request) -> web.Response:
        parse_query(NoQuery, request)
        accounts = await self._accounts.look()
        return json_response({"providers": [_present_account(one) for one in accounts]})

    async def sweep(self, request: web.Request) -> web.Response:
        query = parse_query(SweepQuery, request)
        await parse_body(NoBody, request)
        return json_response(await self._sweep(query.dry_run))


def _present_account(account: Account) -> dict[str, Any]:
    can, machines = account.capabilities, account.machines
    return {
        "name": account.name,
        "state": account.health.state,
        "reasons": list(account.health.reasons),
        "capabilities": {
            "launch_modes": sorted(can.launch_modes),
            "custom_image": can.custom_image,
            "environment": can.environment,
            "on_start": can.on_start,
            "published_ports": can.published_ports,
            "templates": can.templates,
            "balance": can.balance,
            "preserves_storage": can.preserves_storage,
            "watchdog": can.watchdog,
        },
        "last_refresh": account.refreshed_at,
        "offers": account.offers,
        "machines": {
            "ours": machines.ours,
            "orphaned": machines.orphaned,
            "foreign": machines.foreign,
        },
    }
