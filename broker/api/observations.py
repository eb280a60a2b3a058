"""A closer look at sessions: diagnostics, history, and what is heard from their machines."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from aiohttp import web

from broker.api import shapes
from broker.api.http import json_response, parse_body
from broker.api.models import Heartbeat
from broker.api.present import present_diagnostics, present_event
from broker.api.routes import Resource, Route, Tag
from broker.errors import NotFound, ValidationFailed
from broker.model import Status
from broker.store import Store
from broker.usecases.idle import IdleWatch, WrongToken
from broker.usecases.sessions import Sessions

_NAMES = {"id": shapes.SessionId}


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
        session = await self._sessions.get(request.match_info["id"])
        if session.status is not Status.RUNNING or session.running_at is None:
            raise ValidationFailed(f"The session is {session.status}, not running.")
        return json_response(present_diagnostics(session, session.running_at, self._now()))

    async def events(self, request: web.Request) -> web.Response:
        session = await self._sessions.get(request.match_info["id"])
        events = await self._store.events(session_id=session.id)
        shown = [present_event(event) for event in events]
        answer: shapes.Events = {"events": shown, "count": len(shown)}
        return json_response(answer)

    async def heartbeat(self, request: web.Request) -> web.Response:
        body = await parse_body(Heartbeat, request)
        idle_for = None if body.idle_seconds is None else timedelta(seconds=body.idle_seconds)
        session = await self._idle.heartbeat(
            request.match_info["id"], body.token, body.gpu_util, idle_for
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
            description="400 unless the session is running.",
            names=_NAMES,
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
            description="From inside the machine with its `token`, or from outside without.",
            names=_NAMES,
            body=Heartbeat,
            answers={200: shapes.Idleness},
            errors=(WrongToken, NotFound),
        ),
    )
