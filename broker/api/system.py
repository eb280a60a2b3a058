"""Health, readiness, metrics, the providers, and a sweep on request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Protocol

from aiohttp import hdrs, web
from pydantic import Field

from broker.api import shapes
from broker.api.fields import SpelledTruth
from broker.api.http import Query, json_response, parse_body, parse_query
from broker.api.models import NoBody
from broker.api.routes import Media, Resource, Route, Tag
from broker.decide.destruction import Failing
from broker.decide.money import shown
from broker.usecases.accounts import Account, Accounts
from broker.usecases.feed import Coverage

Expose = Callable[[], Awaitable[bytes]]

_METRICS = """\
# HELP gpu_orphans_detected_total Orphaned machines that were found.
# TYPE gpu_orphans_detected_total counter
gpu_orphans_detected_total 0.0
"""


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
        """What does not work although it should: sweeps, a start, the database."""
        ...

    async def alarms(self) -> list[str]:
        """What a person has to look at although the broker itself works."""
        ...


class SweepQuery(Query):
    """How to sweep."""

    dry_run: Annotated[SpelledTruth, Field(description="Only tell what would be done.")] = True


class SystemRoutes(Resource):
    """Handlers that tell how the broker itself is."""

    def __init__(
        self,
        pulse: Pulse,
        expose: Expose,
        accounts: Accounts,
        sweep: Callable[[bool], Awaitable[shapes.SweepReport]],
        now: Callable[[], datetime],
    ) -> None:
        self._pulse = pulse
        self._expose = expose
        self._accounts = accounts
        self._sweep = sweep
        self._now = now

    async def health(self, _: web.Request) -> web.Response:
        troubles, alarms = self._pulse.troubles, await self._pulse.alarms()
        is_ready = self._pulse.is_ready
        is_well = is_ready and not troubles
        body: shapes.Health = {
            "status": ("degraded" if alarms else "ok") if is_well else "unavailable",
            "timestamp": self._now(),
            "services": {
                "lifecycle": "running" if is_well else "stopped",
                "inventory": self._pulse.inventory_state,
                "ready": "true" if is_ready else "false",
            },
        }
        if troubles or alarms:
            body["troubles"] = [*troubles, *alarms]
        return json_response(body, status=200 if is_well else 503)

    async def ready(self, _: web.Request) -> web.Response:
        is_ready = self._pulse.is_ready
        body: shapes.Readiness = {"ready": is_ready, "timestamp": self._now()}
        return json_response(body, status=200 if is_ready else 503)

    async def metrics(self, _: web.Request) -> web.Response:
        headers = {hdrs.CONTENT_TYPE: "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=await self._expose(), headers=headers)

    async def providers(self, _: web.Request) -> web.Response:
        accounts = await self._accounts.look()
        answer: shapes.Accounts = {"providers": [_present_account(one) for one in accounts]}
        return json_response(answer)

    async def sweep(self, request: web.Request) -> web.Response:
        query = parse_query(SweepQuery, request)
        await parse_body(NoBody, request)
        return json_response(await self._sweep(query.dry_run))

    ROUTES = (
        Route(
            method="GET",
            path="/health",
            handler=health,
            operation="get_health",
            tag=Tag.OPERATION,
            summary="Whether the broker is well",
            description=(
                "503 until the start-up sweep is over, and when something has stopped. 200 with "
                "`degraded` where the broker works and a person has to look at something."
            ),
            answers={200: shapes.Health, 503: shapes.Unhealthy},
        ),
        Route(
            method="GET",
            path="/ready",
            handler=ready,
            operation="get_readiness",
            tag=Tag.OPERATION,
            summary="Whether new sessions are taken",
            answers={200: shapes.Readiness, 503: shapes.Unready},
        ),
        Route(
            method="GET",
            path="/metrics",
            handler=metrics,
            operation="get_metrics",
            tag=Tag.OPERATION,
            summary="Metrics for Prometheus",
            answers={200: Media(("text/plain",), _METRICS)},
        ),
        Route(
            method="GET",
            path="/api/v1/providers",
            handler=providers,
            operation="list_providers",
            tag=Tag.OPERATION,
            summary="The marketplaces",
            description="How each account is, what it can do, and which machines it holds.",
            answers={200: shapes.Accounts},
        ),
        Route(
            method="POST",
            path="/api/v1/sweep",
            handler=sweep,
            operation="sweep",
            tag=Tag.OPERATION,
            summary="Sweep once",
            description="Ends what is over, destroys orphans, finishes what was begun.",
            query=SweepQuery,
            body=NoBody,
            answers={200: shapes.SweepReport},
        ),
    )


def _present_coverage(coverage: Coverage) -> shapes.Coverage:
    return {
        "complete": coverage.is_complete,
        "detail": coverage.detail or None,
        "dropped": coverage.dropped,
    }


def _present_account(account: Account) -> shapes.Account:
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
        "coverage": _present_coverage(account.coverage) if account.coverage else None,
        "balance": shown(account.credit.amount) if account.credit else None,
        "balance_read_at": account.credit.read_at if account.credit else None,
        "machines": {
            "ours": machines.ours if machines else None,
            "orphaned": machines.orphaned if machines else None,
            "foreign": machines.foreign if machines else None,
        },
        "draining": account.draining,
        "console": account.console,
        "failing_destructions": [_present_failing(one) for one in account.failing],
        "unreadable_labels": machines.unreadable if machines else None,
    }


def _present_failing(failing: Failing) -> shapes.FailingDestruction:
    return {
        "instance_id": failing.instance_id,
        "session_id": failing.session_id,
        "orphaned": failing.is_orphan,
        "since": failing.since,
        "tries": failing.tries,
        "last_answer": failing.answer,
    }
