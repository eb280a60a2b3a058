"""A closer look at sessions: diagnostics, history, and what is heard from their machines."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from aiohttp import hdrs, web

from broker.api import shapes
from broker.api.http import json_response, parse_body, parse_query
from broker.api.models import DiagnosticsQuery, Heartbeat
from broker.api.present import present_diagnostics, present_event
from broker.api.routes import Resource, Route, Tag
from broker.errors import NotFound, ValidationFailed
from broker.model import Status
from broker.store import Store
from broker.usecases.idle import IdleWatch, WrongToken
from broker.usecases.sessions import Sessions

_NAMES = {"id": shapes.SessionId}
_NOT_ENDING = frozenset({Status.PENDING, Status.PROVISIONING, Status.RUNNING})
_BEARER = "bearer "


class ObservationRoutes(Resource):
    """Handlers below `/api/v1/sessions/{id}` that tell or note how a session goes."""

    def __init__(
        self, sessions: Sessions, idle: IdleWatch, store: Store, now: Callable[[], datetime]
    ) -> None:
        self._sessions = sessions
        self._idle = idle
        self._store = store
        self._now = now

    async def diagnostics(self, request: web.Request) -> web.Response:
        query = parse_query(DiagnosticsQuery, request)
        session = await self._sessions.get(request.match_info["id"])
        if session.status not in (_NOT_ENDING if query.any else {Status.RUNNING}):
            raise ValidationFailed(f"The session is {session.status}, not running.")
        return json_response(present_diagnostics(session, self._now()))

    async def events(self, request: web.Request) -> web.Response:
        session = await self._sessions.get(request.match_info["id"])
        events = await self._store.events(session_id=session.id)
        shown = [present_event(event) for event in events]
        answer: shapes.Events = {"events": shown, "count": len(shown)}
        return json_response(answer)

    async def heartbeat(self, request: web.Request) -> web.Response:
        body = await parse_body(Heartbeat, request)
        idle_for = None if body.idle_seconds is None else timedelta(seconds=body.idle_seconds)
        token = body.token or _bearer(request)
        session = await self._idle.heartbeat(
            request.match_info["id"], token, body.gpu_util, idle_for
        )
        answer: shapes.Idleness = {"session_id": session.id, "idle_since": session.idle_since}
        return json_response(answer)

    ROUTES = (
        Route(
            method="GET",
            path="/api/v1/sessions/{id}/diagnostics",
            handler=diagnostics,
            operation="diagnose_session",
            tag=Tag.SESSIONS,
            summary="Look closer at a running session",
            description="400 unless the session is running; with `any=true` unless it is ending.",
            names=_NAMES,
            query=DiagnosticsQuery,
            answers={200: shapes.Diagnostics},
            errors=(NotFound,),
        ),
        Route(
            method="GET",
            path="/api/v1/sessions/{id}/events",
            handler=events,
            operation="list_session_events",
            tag=Tag.SESSIONS,
            summary="What happened to a session",
            description="The oldest first.",
            names=_NAMES,
            answers={200: shapes.Events},
            errors=(NotFound,),
        ),
        Route(
            method="POST",
            path="/api/v1/sessions/{id}/heartbeat",
            handler=heartbeat,
            operation="send_heartbeat",
            tag=Tag.SESSIONS,
            summary="Report activity",
            description=(
                "From inside the machine with its `token`, in the body or as `Authorization: "
                "Bearer`; or from outside without."
            ),
            names=_NAMES,
            body=Heartbeat,
            answers={200: shapes.Idleness},
            errors=(WrongToken, NotFound),
        ),
    )


def _bearer(request: web.Request) -> str | None:
    """The token of the Authorization header, where it has one."""
    given = request.headers.get(hdrs.AUTHORIZATION, "")
    return given[len(_BEARER) :].strip() if given.lower().startswith(_BEARER) else None
