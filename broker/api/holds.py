"""An operator's hold on a session."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Annotated

from aiohttp import web
from pydantic import ConfigDict, Field

from broker.api import shapes
from broker.api.fields import JSON_NUMBER, Sentence
from broker.api.http import RequestModel, json_response, parse_body
from broker.api.models import NoBody, exactly_one_of, one_of
from broker.api.routes import Resource, Route, Tag
from broker.errors import Conflict, Detail, NotFound
from broker.usecases.holds import Holds

_LONGEST_HOURS = 8784
"""A year: the label of the session's machine says what is too long for it."""


class SessionHold(RequestModel):
    """For how long, and why."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": one_of("hours", "minutes"),
            "examples": [{"hours": 2, "reason": "The run is nearly done."}],
        }
    )

    hours: Annotated[int, Field(ge=1, le=_LONGEST_HOURS), JSON_NUMBER] | None = Field(
        None, description="How many hours from now on."
    )
    minutes: Annotated[int, Field(ge=1, le=_LONGEST_HOURS * 60), JSON_NUMBER] | None = Field(
        None, description="How many minutes from now on; instead of hours."
    )
    reason: Sentence = Field(description="Why: whoever finds the session held will read it.")

    @classmethod
    def contradictions(cls, given: Mapping[str, object]) -> Iterable[Detail]:
        return exactly_one_of(given, "hours", "minutes")


class HoldRoutes(Resource):
    """Handlers of `/api/v1/sessions/{id}/hold`."""

    def __init__(self, holds: Holds) -> None:
        self._holds = holds

    async def hold(self, request: web.Request) -> web.Response:
        body = await parse_body(SessionHold, request)
        span = timedelta(hours=body.hours or 0, minutes=body.minutes or 0)
        field = "minutes" if body.hours is None else "hours"
        session = await self._holds.hold(request.match_info["id"], span, field, body.reason)
        answer: shapes.HeldSession = {
            "message": "session held",
            "session_id": session.id,
            "held_until": session.held_until,
            "hold_reason": session.hold_reason,
        }
        return json_response(answer)

    async def release(self, request: web.Request) -> web.Response:
        await parse_body(NoBody, request)
        session = await self._holds.release(request.match_info["id"])
        answer: shapes.ReleasedSession = {
            "message": "session released",
            "session_id": session.id,
            "status": session.status,
        }
        return json_response(answer)

    ROUTES = (
        Route(
            method="POST",
            path="/api/v1/sessions/{id}/hold",
            handler=hold,
            operation="hold_session",
            tag=Tag.OPERATION,
            summary="Keep a session from being ended",
            description=(
                "An operator's word: until then the broker does not end it by itself, neither at "
                "its expiry or hard maximum nor because it is idle or called lost. Its consumer "
                "still can, and a machine that does not exist any more ends it. The deadline on "
                "the machine's label is not passed. Another hold takes the place of this one."
            ),
            names={"id": shapes.SessionId},
            body=SessionHold,
            answers={200: shapes.HeldSession},
            errors=(NotFound, Conflict),
        ),
        Route(
            method="DELETE",
            path="/api/v1/sessions/{id}/hold",
            handler=release,
            operation="release_session",
            tag=Tag.OPERATION,
            summary="Let a held session go",
            description=(
                "It ends at once where its lease is over. Nothing happens to a session that is not "
                "held; 409 where it has ended."
            ),
            names={"id": shapes.SessionId},
            body=NoBody,
            answers={200: shapes.ReleasedSession},
            errors=(NotFound, Conflict),
        ),
    )
