"""A client's connection: what cannot be read as a request is answered in the one shape of errors.

aiohttp answers by itself, in plain text, what fails before a route is found: text that is no
HTTP, lines that are too long, expectations that it does not know. Middlewares never see those.
"""

from __future__ import annotations

import asyncio

from aiohttp import hdrs, http_exceptions, web

from broker.api.middleware import (
    FIRST_OF_OURS,
    BadRequest,
    MethodNotAllowed,
    present_error,
    present_http,
    present_unforeseen,
    request_id_of,
)
from broker.errors import BrokerError

LONGEST_LINE = 65_536
"""Bytes of the request line, and of each header."""

_NAME = "gpu-broker"
_METHODS = "DELETE, GET, HEAD, POST"


class Connection(web.RequestHandler):
    """The protocol of one connection."""

    def __init__(self, server: web.Server, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type] # None is none, as in aiohttp's own runner
            max_line_size=LONGEST_LINE,
            max_field_size=LONGEST_LINE,
            auto_decompress=False,
        )

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 (it quotes what was sent)
    ) -> web.StreamResponse:
        """The answer to what cannot be read; raises ConnectionError where one has begun already."""
        if request.writer.output_size > 0:
            raise ConnectionError
        request_id = request_id_of(request)
        if status >= FIRST_OF_OURS:
            answer = present_unforeseen(exc, request_id)
        else:
            answer = present_error(_explain(exc), request_id)
        if answer.status == MethodNotAllowed.status:
            answer.headers[hdrs.ALLOW] = _METHODS
        answer.force_close()
        return answer

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; aiohttp's own errors, raised outside of the middlewares, in our shape.

        Whom it comes from is told without the versions of what we are made of.
        """
        if isinstance(resp, web.HTTPException):
            resp = present_http(resp, request_id_of(request))
        resp.headers[hdrs.SERVER] = _NAME
        return await super().finish_response(request, resp, start_time)


def _explain(error: BaseException | None) -> BrokerError:
    match error:
        case http_exceptions.LineTooLong():
            return BadRequest(f"The address or a header is longer than {LONGEST_LINE} bytes.")
        case http_exceptions.BadHttpMethod():
            return MethodNotAllowed("No route knows this method.")
        case _:
            return BadRequest("The request is not valid HTTP.")
