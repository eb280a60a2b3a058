"""The session routes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from aiohttp import web

from broker.api import shapes
from broker.api.http import json_response, parse_body, parse_query
from broker.api.idempotency import parse_keyed, replay_headers
from broker.api.models import (
    NoBody,
    SessionCreate,
    SessionExtend,
    SessionList,
    SessionRekey,
)
from broker.api.preferences import FOLLOWED, wants_asynchronous
from broker.api.present import present_warning
from broker.api.requests import request_of
from broker.api.routes import Resource, Route, Tag
from broker.api.session_objects import SessionObjects
from broker.errors import (
    CapabilityUnsupported,
    Conflict,
    HardMaxExceeded,
    InsufficientDisk,
    InsufficientFunds,
    NoLoginYet,
    NoOfferFits,
    NotFound,
    NotReady,
    ProviderRefused,
    ProviderUnavailable,
    StaleInventory,
)
from broker.model import Confidential, Status
from broker.store import Store
from broker.usecases.idempotency import Idempotency
from broker.usecases.opening import Opening
from broker.usecases.rekey import Rekeying
from broker.usecases.sessions import Sessions

_NAMES = {"id": shapes.SessionId}


class SessionRoutes(Resource):
    """Handlers of `/api/v1/sessions`."""

    def __init__(
        self,
        opening: Opening,
        sessions: Sessions,
        rekeying: Rekeying,
        idempotency: Idempotency,
        store: Store,
        now: Callable[[], datetime],
    ) -> None:
        self._opening = opening
        self._sessions = sessions
        self._rekeying = rekeying
        self._idempotency = idempotency
        self._store = store
        self._objects = SessionObjects(store, now)

    async def create(self, request: web.Request) -> web.Response:
        body = await parse_body(SessionCreate, request, self._opening.misnamed)
        confidential = Confidential(env=body.env, on_start_cmd=body.on_start_cmd)
        is_asynchronous = wants_asynchronous(request)
        async with self._idempotency.turn(parse_keyed(request, body)) as turn:
            opened = await self._opening.open(
                request_of(body),
                confidential,
                public_key=body.ssh_public_key,
                disk_gb=body.disk_gb,
                turn=turn,
                is_patient=not is_asynchronous,
            )
        answer: shapes.CreatedSession = {
            "session": self._objects.one(opened.overview),
            "ssh_private_key": opened.secrets.private_key,
            "session_token": opened.secrets.token,
            "retries_attempted": len(opened.overview.attempts) - 1,
            "warnings": [present_warning(warned) for warned in opened.warnings],
        }
        headers = replay_headers(turn)
        if is_asynchronous:
            return json_response(answer, status=202, headers={**headers, **FOLLOWED})
        return json_response(answer, status=201, headers=headers)

    async def list_all(self, request: web.Request) -> web.Response:
        query = parse_query(SessionList, request)
        found, total = await self._store.versions(
            consumer_id=query.consumer_id,
            statuses=[Status(word) for word in query.status.split(",")] if query.status else (),
            provider=query.provider,
            limit=query.limit,
            offset=query.offset,
        )
        shown = await self._objects.many(found)
        return json_response({"sessions": shown, "count": len(shown), "total": total})

    async def get(self, request: web.Request) -> web.Response:
        overview = await self._sessions.overview(request.match_info["id"])
        return json_response(self._objects.one(overview))

    async def delete(self, request: web.Request) -> web.Response:
        session = await self._sessions.delete(request.match_info["id"])
        ended: shapes.EndedSession = {"message": "session destroyed", "session_id": session.id}
        if session.is_final:
            return json_response(ended)
        ending: shapes.EndingSession = {**ended, "status": session.status}
        return json_response(ending, status=202)

    async def done(self, request: web.Request) -> web.Response:
        await parse_body(NoBody, request)
        session_id = request.match_info["id"]
        await self._sessions.done(session_id)
        answer: shapes.DoneSession = {
            "message": "session shutdown initiated",
            "session_id": session_id,
        }
        return json_response(answer)

    async def extend(self, request: web.Request) -> web.Response:
        body = await parse_body(SessionExtend, request)
        by = timedelta(hours=body.additional_hours or 0, minutes=body.additional_minutes or 0)
        field = "additional_minutes" if body.additional_hours is None else "additional_hours"
        session_id = request.match_info["id"]
        async with self._idempotency.turn(parse_keyed(request, body)) as turn:
            expires_at = await self._sessions.extend(session_id, by, field, turn)
        answer: shapes.ExtendedSession = {
            "message": "session extended",
            "session_id": session_id,
            "new_expires_at": expires_at,
        }
        return json_response(answer, headers=replay_headers(turn))

    async def rekey(self, request: web.Request) -> web.Response:
        body = await parse_body(SessionRekey, request)
        async with self._idempotency.turn(parse_keyed(request, body)) as turn:
            session, secrets = await self._rekeying.rekey(
                request.match_info["id"],
                public_key=body.ssh_public_key,
                key_type=body.ssh_key_type,
                turn=turn,
            )
        answer: shapes.RekeyedSession = {
            "message": "session rekeyed",
            "session_id": session.id,
            "ssh_private_key": secrets.private_key,
            "ssh_public_key": session.public_key,
        }
        return json_response(answer, headers=replay_headers(turn))

    ROUTES = (
        Route(
            method="POST",
            path="/api/v1/sessions",
            handler=create,
            operation="create_session",
            tag=Tag.SESSIONS,
            summary="Rent a machine",
            description=(
                "Answers when the provider has accepted or refused, after 20 s at the latest; "
                "poll the session until its `status` is `running`. Both secrets are told once: "
                "send an Idempotency-Key, and a lost reply is no lost machine. 409 where you have "
                "a live session of the same offer: `details.session_id` names it."
            ),
            body=SessionCreate,
            answers={201: shapes.CreatedSession, 202: shapes.CreatedSession},
            errors=(
                CapabilityUnsupported,
                InsufficientDisk,
                HardMaxExceeded,
                InsufficientFunds,
                NotFound,
                NoOfferFits,
                Conflict,
                ProviderRefused,
                ProviderUnavailable,
                StaleInventory,
                NotReady,
            ),
            is_keyed=True,
            may_be_asynchronous=True,
        ),
        Route(
            method="GET",
            path="/api/v1/sessions",
            handler=list_all,
            operation="list_sessions",
            tag=Tag.SESSIONS,
            summary="List sessions",
            description="The newest first; all of them unless `limit` is given.",
            query=SessionList,
            answers={200: shapes.Sessions},
        ),
        Route(
            method="GET",
            path="/api/v1/sessions/{id}",
            handler=get,
            operation="get_session",
            tag=Tag.SESSIONS,
            summary="Get a session",
            names=_NAMES,
            answers={200: shapes.Session},
            errors=(NotFound,),
        ),
        Route(
            method="DELETE",
            path="/api/v1/sessions/{id}",
            handler=delete,
            operation="delete_session",
            tag=Tag.SESSIONS,
            summary="End a session now",
            description=(
                "200 when the machine is proved gone; 202 where that takes longer than 30 s: it "
                "goes on by itself. Repeat it as you like."
            ),
            names=_NAMES,
            answers={200: shapes.EndedSession, 202: shapes.EndingSession},
            errors=(NotFound,),
        ),
        Route(
            method="POST",
            path="/api/v1/sessions/{id}/done",
            handler=done,
            operation="finish_session",
            tag=Tag.SESSIONS,
            summary="Signal that the work is complete",
            description="Does not wait for the end; 409 where the session has ended already.",
            names=_NAMES,
            body=NoBody,
            answers={200: shapes.DoneSession},
            errors=(NotFound, Conflict),
        ),
        Route(
            method="POST",
            path="/api/v1/sessions/{id}/extend",
            handler=extend,
            operation="extend_session",
            tag=Tag.SESSIONS,
            summary="Extend a session",
            description=(
                "The whole reservation stays within the hard maximum, and the account can pay it."
            ),
            names=_NAMES,
            body=SessionExtend,
            answers={200: shapes.ExtendedSession},
            errors=(NotFound, Conflict, HardMaxExceeded, InsufficientFunds),
            is_keyed=True,
        ),
        Route(
            method="POST",
            path="/api/v1/sessions/{id}/rekey",
            handler=rekey,
            operation="rekey_session",
            tag=Tag.SESSIONS,
            summary="Get a fresh key",
            description=(
                "Puts another key on the running machine over the broker's own access; the one "
                "before it stops working."
            ),
            names=_NAMES,
            body=SessionRekey,
            answers={200: shapes.RekeyedSession},
            errors=(NotFound, Conflict, NoLoginYet),
            is_keyed=True,
        ),
    )
