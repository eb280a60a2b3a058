"""The session routes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from aiohttp import web

from broker.api.http import Route, json_response, parse_body, parse_query
from broker.api.idempotency import parse_keyed, replay_headers
from broker.api.models import (
    Heartbeat,
    NoBody,
    NoQuery,
    SessionCreate,
    SessionExtend,
    SessionList,
    SessionRekey,
)
from broker.api.present import present_event, present_session, present_span
from broker.decide.money import cost
from broker.errors import ValidationFailed
from broker.model import Confidential, Criteria, Request, Session, Status
from broker.store import Store
from broker.usecases.idle import IdleWatch
from broker.usecases.opening import Opening
from broker.usecases.receipts import Receipts
from broker.usecases.rekey import Rekeying
from broker.usecases.sessions import Sessions

_NOTE = "Full SSH diagnostics require client-side SSH access."


class SessionRoutes:
    """Handlers of `/api/v1/sessions`."""

    def __init__(
        self,
        opening: Opening,
        sessions: Sessions,
        rekeying: Rekeying,
        idle: IdleWatch,
        receipts: Receipts,
        store: Store,
        now: Callable[[], datetime],
    ) -> None:
        self._opening = opening
        self._sessions = sessions
        self._rekeying = rekeying
        self._idle = idle
        self._receipts = receipts
        self._store = store
        self._now = now

    def routes(self) -> list[Route]:
        """The table of these routes."""
        base, one = "/api/v1/sessions", "/api/v1/sessions/{id}"
        return [
            Route("POST", base, self.create, "Create a session", NoQuery, SessionCreate),
            Route("GET", base, self.list_all, "List sessions", SessionList),
            Route("GET", one, self.get, "Get a session", NoQuery),
            Route("DELETE", one, self.delete, "End a session now", NoQuery, NoBody),
            Route(
                "POST",
                f"{one}/done",
                self.done,
                "Signal that the work is complete",
                NoQuery,
                NoBody,
            ),
            Route("POST", f"{one}/extend", self.extend, "Extend a session", NoQuery, SessionExtend),
            Route("POST", f"{one}/rekey", self.rekey, "Get a fresh key", NoQuery, SessionRekey),
            Route("GET", f"{one}/diagnostics", self.diagnostics, "Look closer", NoQuery),
            Route("GET", f"{one}/events", self.events, "What happened to a session", NoQuery),
            Route(
                "POST", f"{one}/heartbeat", self.heartbeat, "Report activity", NoQuery, Heartbeat
            ),
        ]

    async def create(self, request: web.Request) -> web.Response:
        parse_query(NoQuery, request)
        body = await parse_body(SessionCreate, request)
        confidential = Confidential(env=body.env, on_start_cmd=body.on_start_cmd)
        async with self._receipts.turn(parse_keyed(request, body)) as turn:
            opened = await self._opening.open(
                _request(body),
                confidential,
                public_key=body.ssh_public_key,
                disk_gb=body.disk_gb,
                turn=turn,
            )
        answer = {
            "session": await self._present_one(opened.session),
            "ssh_private_key": opened.secrets.private_key,
            "session_token": opened.secrets.token,
            "retries_attempted": len(opened.attempts) - 1,
            "warnings": [{"code": w.code, "message": w.message} for w in opened.warnings],
        }
        return json_response(answer, status=201, headers=replay_headers(turn))

    async def list_all(self, request: web.Request) -> web.Response:
        query = parse_query(SessionList, request)
        found, total = await self._store.sessions(
            consumer_id=query.consumer_id,
            statuses=[Status(word) for word in query.status.split(",")] if query.status else (),
            provider=query.provider,
            limit=query.limit,
            offset=query.offset,
        )
        shown = await self._present(found)
        return json_response({"sessions": shown, "count": len(shown), "total": total})

    async def get(self, request: web.Request) -> web.Response:
        parse_query(NoQuery, request)
        return json_response(await self._present_one(await self._session(request)))

    async def delete(self, request: web.Request) -> web.Response:
        parse_query(NoQuery, request)
        session = await self._sessions.delete(request.match_info["id"])
        answer: dict[str, Any] = {"message": "session destroyed", "session_id": session.id}
        if session.is_final:
            return json_response(answer)
        return json_response(answer | {"status": session.status}, status=202)

    async def done(self, request: web.Request) -> web.Response:
        parse_query(NoQuery, request)
        await parse_body(NoBody, request)
        session_id = request.match_info["id"]
        await self._sessions.done(session_id)
        return json_response({"message": "session shutdown initiated", "session_id": session_id})

    async def extend(self, request: web.Request) -> web.Response:
        parse_query(NoQuery, request)
        body = await parse_body(SessionExtend, request)
        by = timedelta(hours=body.additional_hours or 0, minutes=body.additional_minutes or 0)
        session_id = request.match_info["id"]
        async with self._receipts.turn(parse_keyed(request, body)) as turn:
            expires_at = await self._sessions.extend(session_id, by, turn)
        answer = {
            "message": "session extended",
            "session_id": session_id,
            "new_expires_at": expires_at,
        }
        return json_response(answer, headers=replay_headers(turn))

    async def rekey(self, request: web.Request) -> web.Response:
        parse_query(NoQuery, request)
        body = await parse_body(SessionRekey, request)
        async with self._receipts.turn(parse_keyed(request, body)) as turn:
            session, secrets = await self._rekeying.rekey(
                request.match_info["id"],
                public_key=body.ssh_public_key,
                key_type=body.ssh_key_type,
                turn=turn,
            )
        answer = {
            "message": "session rekeyed",
            "session_id": session.id,
            "ssh_private_key": secrets.private_key,
            "ssh_public_key": session.public_key,
        }
        return json_response(answer, headers=replay_headers(turn))

    async def diagnostics(self, request: web.Request) -> web.Response:
        parse_query(NoQuery, request)
        session = await self._session(request)
        if session.status is not Status.RUNNING or session.running_at is None:
            raise ValidationFailed(f"The session is {session.status}, not running.")
        now = self._now()
        up, left = now - session.running_at, session.expires_at - now
        shown = await self._present_one(session)
        copied = ("status", "provider", "gpu_type", "gpu_count", "ssh_host", "ssh_port", "ssh_user")
        return json_response(
            {
                "session_id": session.id,
                **{name: shown[name] for name in copied},
                "launch_mode": session.request.launch_mode,
                "api_endpoint": session.access.api_endpoint or "",
                "created_at": session.created_at,
                "expires_at": session.expires_at,
                "uptime": present_span(up),
                "uptime_seconds": int(up.total_seconds()),
                "time_to_expiry": present_span(left),
                "seconds_to_expiry": int(left.total_seconds()),
                "ssh_available": session.access.ssh is not None,
                "note": _NOTE,
            }
        )

    async def events(self, request: web.Request) -> web.Response:
        parse_query(NoQuery, request)
        session = await self._session(request)
        events = await self._store.events(session_id=session.id)
        shown = [present_event(event) for event in events]
        return json_response({"events": shown, "count": len(shown)})

    async def heartbeat(self, request: web.Request) -> web.Response:
        parse_query(NoQuery, request)
        body = await parse_body(Heartbeat, request)
        idle_for = None if body.idle_seconds is None else timedelta(seconds=body.idle_seconds)
        session = await self._idle.heartbeat(
            request.match_info["id"], body.token, body.gpu_util, idle_for
        )
        return json_response({"session_id": session.id, "idle_since": session.idle_since})

    async def _session(self, request: web.Request) -> Session:
        return await self._sessions.get(request.match_info["id"])

    async def _present_one(self, session: Session) -> dict[str, Any]:
        return (await self._present([session]))[0]

    async def _present(self, sessions: Sequence[Session]) -> list[dict[str, Any]]:
        ids = [session.id for session in sessions]
        attempts = await self._store.attempts(ids)
        accrued = await self._accrued(ids)
        return [
            present_session(one, attempts[one.id], accrued.get(one.id, Decimal(0)))
            for one in sessions
        ]

    async def _accrued(self, session_ids: Sequence[str]) -> dict[str, Decimal]:
        now = self._now()
        totals: dict[str, Decimal] = {}
        for accrual in await self._store.accruals(session_ids=session_ids):
            so_far = totals.get(accrual.session_id, Decimal(0))
            totals[accrual.session_id] = so_far + cost(accrual, now)
        return totals


def _request(body: SessionCreate) -> Request:
    """The body in the broker's own terms."""
    minutes = (body.reservation_hours or 0) * 60 + (body.reservation_minutes or 0)
    criteria = Criteria(
        gpu_type=body.gpu_type,
        gpu_count=body.gpu_count,
        min_vram=body.min_vram,
        max_price=body.max_price,
        location=body.location,
        min_reliability=body.min_reliability,
        min_cuda=body.min_cuda,
        provider=body.provider,
        allow_unverified=body.allow_unverified,
    )
    return Request(
        consumer_id=body.consumer_id,
        workload_type=body.workload_type,
        reservation=timedelta(minutes=minutes),
        offer_id=body.offer_id,
        criteria=criteria,
        launch_mode=body.launch_mode,
        docker_image=body.docker_image,
        model_id=body.model_id,
        quantization=body.quantization,
        exposed_ports=body.exposed_ports,
        template_hash_id=body.template_hash_id,
        storage_policy=body.storage_policy,
        idle_threshold=_minutes(body.idle_threshold_minutes),
        auto_retry=body.auto_retry,
        max_retries=body.max_retries,
        retry_scope=body.retry_scope,
        ssh_key_type=body.ssh_key_type,
        managed_access=body.managed_access,
        ssh_timeout=_minutes(body.ssh_timeout_minutes),
        hard_max_override=timedelta(hours=body.hard_max_override)
        if body.hard_max_override
        else None,
        watchdog=body.watchdog,
        name=body.name,
        labels=body.labels,
    )


def _minutes(count: int | None) -> timedelta | None:
    return timedelta(minutes=count) if count else None
