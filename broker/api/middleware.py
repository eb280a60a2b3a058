"""What happens to every request: an id, a measurement, and errors in one shape."""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from time import monotonic
from typing import Protocol

import orjson
from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from broker.api import shapes
from broker.api.http import json_response
from broker.api.routes import Handler
from broker.errors import BrokerError, NotFound

log = logging.getLogger(__name__)

REQUEST_ID = web.RequestKey("request_id", str)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
REQUEST_ID_HEADER = "X-Request-ID"
_UNMATCHED = "unmatched"
_FIRST_ERROR = 400
FIRST_OF_OURS = 500
"""From here on the status tells of a failure that is not the client's."""


class MethodNotAllowed(BrokerError):
    """This route does not know this method."""

    status = 405
    code = "method_not_allowed"


class BodyTooLarge(BrokerError):
    """The body is larger than 1 MB."""

    status = 413
    code = "body_too_large"


class BadRequest(BrokerError):
    """The request cannot be read."""

    status = 400
    code = "validation_error"


class ExpectationFailed(BrokerError):
    """The only expectation that can be met is 100-continue."""

    status = 417
    code = "validation_error"


class TrafficListener(Protocol):
    """Is told of every request, after its answer."""

    def request_answered(self, method: str, route: str, status: int, seconds: float) -> None: ...


def middlewares(listener: TrafficListener) -> list[Middleware]:
    """All of them, the outermost first."""
    return [_identified, _measured(listener), _explained]


@web.middleware
async def _identified(request: web.Request, handler: Handler) -> web.StreamResponse:
    request[REQUEST_ID] = request_id_of(request)
    response = await handler(request)
    response.headers[REQUEST_ID_HEADER] = request[REQUEST_ID]
    return response


def request_id_of(request: web.BaseRequest) -> str:
    """The id that the client gave to its request; a new one where it gave none, or a bad one."""
    given = request.headers.get(REQUEST_ID_HEADER, "")
    return given if _REQUEST_ID.fullmatch(given) else str(uuid.uuid4())


def _measured(listener: TrafficListener) -> Middleware:
    @web.middleware
    async def measure(request: web.Request, handler: Handler) -> web.StreamResponse:
        begun = monotonic()
        response = await handler(request)
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else _UNMATCHED
        method = request.method if request.method in _METHODS else "other"
        listener.request_answered(method, route, response.status, monotonic() - begun)
        return response

    return measure


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@web.middleware
async def _explained(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except BrokerError as error:
        _note(error, request[REQUEST_ID])
        return present_error(error, request[REQUEST_ID])
    except web.HTTPException as error:
        return present_http(error, request[REQUEST_ID])
    except asyncio.CancelledError:
        raise
    except Exception as error:  # noqa: BLE001 (the log has all of it)
        return present_unforeseen(error, request[REQUEST_ID])


def _note(error: BrokerError, request_id: str) -> None:
    """Leave a line in the log about a failure that the client is told of and did not cause."""
    if error.status < FIRST_OF_OURS:
        return
    is_internal = error.status == BrokerError.status
    log.log(
        logging.ERROR if is_internal else logging.WARNING,
        "A request was answered with %d: %s",
        error.status,
        error,
        exc_info=error if is_internal else None,
        extra={"request_id": request_id, "code": error.code},
    )


def present_unforeseen(error: BaseException | None, request_id: str) -> web.Response:
    """The answer where nobody knows what went wrong; the log has all of it."""
    answered = BrokerError("Something went wrong here.")
    log.error(
        "A request met something unforeseen.",
        exc_info=error,
        extra={"request_id": request_id, "code": answered.code},
    )
    return present_error(answered, request_id)


def present_http(error: web.HTTPException, request_id: str) -> web.StreamResponse:
    """An error of aiohttp in our shape; a redirection stays what it is.

    A route that a provider brings tells its errors as JSON, which lacks nothing but the id.
    """
    known: dict[int, BrokerError] = {
        404: NotFound("There is no such path."),
        405: MethodNotAllowed(),
        413: BodyTooLarge(),
        417: ExpectationFailed(),
    }
    if error.status < _FIRST_ERROR:
        return error
    if error.content_type == "application/json":
        body = orjson.loads(error.text or "{}")
        return json_response({**body, "request_id": request_id}, status=error.status)
    answer = present_error(known.get(error.status, BadRequest()), request_id)
    if isinstance(error, web.HTTPMethodNotAllowed):
        answer.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
    return answer


def present_error(error: BrokerError, request_id: str) -> web.Response:
    """The one shape of all errors."""
    body: shapes.Error = {
        "error": str(error),
        "code": error.code,
        "request_id": request_id,
    }
    if error.details:
        body["details"] = [{"field": d.field, "message": d.message} for d in error.details]
    if error.retry_suggested is not None:
        body["retry_suggested"] = error.retry_suggested
    headers = {REQUEST_ID_HEADER: request_id}
    if error.retry_after is not None:
        headers[hdrs.RETRY_AFTER] = str(error.retry_after)
    return json_response({**body, **error.extra}, status=error.status, headers=headers)
