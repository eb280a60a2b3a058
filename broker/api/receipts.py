"""Receipts: how sessions ended, and what was billed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

from aiohttp import web

from broker.api import shapes
from broker.api.http import json_response
from broker.api.routes import Resource, Route, Tag
from broker.decide.receipts import MachineReceipt, SessionReceipt, receipt_of
from broker.errors import Conflict, NotFound
from broker.usecases.sessions import Sessions

_MICROSECOND = timedelta(microseconds=1)


class ReceiptRoutes(Resource):
    """The handler of `/api/v1/sessions/{id}/receipt`."""

    def __init__(self, sessions: Sessions, now: Callable[[], datetime]) -> None:
        self._sessions = sessions
        self._now = now

    async def get(self, request: web.Request) -> web.Response:
        overview = await self._sessions.overview(request.match_info["id"])
        return json_response(_present(receipt_of(overview, self._now())))

    ROUTES = (
        Route(
            method="GET",
            path="/api/v1/sessions/{id}/receipt",
            handler=get,
            operation="get_session_receipt",
            tag=Tag.SESSIONS,
            summary="How a session ended",
            description=(
                "When the end was due, when the machine was destroyed, the two observations that "
                "it is gone, and what was billed. 409 until the session is `stopped` or `failed`."
            ),
            names={"id": shapes.SessionId},
            answers={200: shapes.SessionReceipt},
            errors=(NotFound, Conflict),
        ),
    )


def _present(receipt: SessionReceipt) -> shapes.SessionReceipt:
    session, last = receipt.session, receipt.last
    delay = receipt.reap_delay
    return {
        "session_id": session.id,
        "consumer_id": session.request.consumer_id,
        "provider": session.offer.provider,
        "status": session.status,
        "reason": session.reason,
        "error": session.error,
        "created_at": session.created_at,
        "running_at": session.running_at,
        "due_at": receipt.due_at,
        "destroy_asked_at": last.attempt.destroy_asked_at if last else None,
        "destroy_accepted_at": last.attempt.destroy_accepted_at if last else None,
        "observations": _present_observations(last) if last else [],
        "proved_gone_at": last.attempt.gone_at if last else None,
        "reap_delay_seconds": None if delay is None else _seconds(delay),
        "billed_seconds": _seconds(receipt.billed_for),
        "billed": receipt.billed,
        "machines": [_present_machine(machine) for machine in receipt.machines],
    }


def _present_machine(machine: MachineReceipt) -> shapes.MachineReceipt:
    attempt = machine.attempt
    return {
        "n": attempt.n,
        "machine_made": machine.was_made,
        "instance_id": attempt.instance_id,
        "label": attempt.label,
        "offer_id": attempt.offer.id,
        "provider": attempt.offer.provider,
        "outcome": attempt.outcome,
        "reason": attempt.reason,
        "started_at": attempt.started_at,
        "accepted_at": attempt.accepted_at,
        "due_at": attempt.due_at,
        "destroy_asked_at": attempt.destroy_asked_at,
        "destroy_accepted_at": attempt.destroy_accepted_at,
        "observations": _present_observations(machine),
        "proved_gone_at": attempt.gone_at,
        "price_per_hour": attempt.price_per_hour,
        "billed_seconds": _seconds(machine.billed_for),
        "billed": machine.billed,
    }


def _present_observations(machine: MachineReceipt) -> list[shapes.Observation]:
    return [{"observed_at": one.at, "by": one.by} for one in machine.observations]


def _seconds(span: timedelta) -> Decimal:
    return Decimal(span // _MICROSECOND) / 1_000_000
