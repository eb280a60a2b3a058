"""What every call goes through: it is noted, admitted, and may suffer a misfortune."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from tests.vast_wire.answers import refuse, reply
from tests.vast_wire.contracts import Contract
from tests.vast_wire.limits import Limiter
from tests.vast_wire.misfortunes import INSTEAD, SPOILT, Misfortune, Misfortunes, Operation, Word
from tests.vast_wire.operations import OPEN, OWN_MACHINE, operation_of
from tests.vast_wire.refusals import Refused, bad_key, not_allowed

_OWN = web.RequestKey("own misfortune", Misfortune)
_HUGE = 50_000_000
_PAGE = "<html><head><title>{0}</title></head><body><h1>{0}</h1><hr>nginx</body></html>\n"


@dataclass(frozen=True)
class Call:
    """One request, as it came in."""

    method: str
    path: str
    """Without the query."""
    query: dict[str, str]
    body: Any
    """Parsed JSON; None where there is none."""
    at: datetime
    operation: Operation


def own_misfortune(request: web.Request) -> Misfortune | None:
    """What the handler of this call has to make happen itself."""
    return request.get(_OWN)


class Gate:
    """The middleware of the service."""

    def __init__(
        self,
        *,
        api_key: str,
        misfortunes: Misfortunes,
        limiter: Limiter,
        by_key: Callable[[str], Contract | None],
        settle: Callable[[], datetime],
    ) -> None:
        self.calls: list[Call] = []
        self.closing = asyncio.Event()
        self._api_key = api_key
        self._misfortunes = misfortunes
        self._limiter = limiter
        self._by_key = by_key
        self._settle = settle

    def middleware(self) -> Middleware:
        """For the application."""

        @web.middleware
        async def serve(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._serve(request, handler)

        return serve

    async def _serve(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        operation = operation_of(request)
        call = await self._note(request, operation)
        suffered = self._misfortunes.take(operation)
        instead = next((one for one in suffered if one.word in INSTEAD), None)
        spoilt = next((one for one in suffered if one.word in SPOILT), None)
        for own in suffered:
            if own not in (instead, spoilt):
                request[_OWN] = own
        try:
            self._authorise(request, call)
            self._admit(request, operation)
            answer = await self._suffer(request, instead) if instead else None
            response = answer or await handler(request)
        except Refused as refused:
            response = refused.response()
        except web.HTTPBadRequest as refused:
            # Raised ones name a charset.
            response = _raw(refused.status, refused.text or "")
        return await self._spoil(request, response, spoilt) if spoilt else response

    async def _note(self, request: web.Request, operation: Operation) -> Call:
        now = self._settle()
        body = None
        with suppress(ValueError):
            body = json.loads(await request.text())
        query = dict(request.query)
        call = Call(request.method, request.path, query, body, now, operation)
        self.calls.append(call)
        return call

    def _authorise(self, request: web.Request, call: Call) -> None:
        """The account's key opens everything, an instance's key that instance."""
        if call.operation in OPEN and "Authorization" not in request.headers:
            return
        key = _key_of(request)
        if key == self._api_key or request.path.startswith("/results/"):
            return
        contract = self._by_key(key)
        if contract is None:
            raise bad_key()
        is_own = request.match_info.get("id") == str(contract.id)
        is_label = isinstance(call.body, dict) and "label" in call.body
        if call.operation not in OWN_MACHINE or not is_own or is_label:
            raise not_allowed()

    def _admit(self, request: web.Request, operation: Operation) -> None:
        now = asyncio.get_running_loop().time()
        threshold = self._limiter.admit(operation, _key_of(request), now)
        if threshold is not None:
            text = f"API requests too frequent: endpoint threshold={threshold}"
            raise _TooFrequent(text)

    async def _suffer(self, request: web.Request, misfortune: Misfortune) -> web.Response | None:
        """What is answered instead; None where the call goes on."""
        await self._pass(misfortune.delay)
        match misfortune.word:
            case Word.HANGS:
                await self.closing.wait()
                return web.Response()
            case Word.RESET:
                return _hang_up(request)
            case Word.SLOW:
                return None
        return _answer(misfortune)

    async def _spoil(
        self, request: web.Request, response: web.StreamResponse, misfortune: Misfortune
    ) -> web.StreamResponse:
        """A right answer, on its way to the client."""
        await self._pass(misfortune.delay)
        body = response.body if isinstance(response, web.Response) else b""
        match misfortune.word:
            case Word.REPLY_RESET:
                return _hang_up(request)
            case Word.REPLY_HANGS:
                await self.closing.wait()
                return response
            case Word.REPLY_BAD_GATEWAY:
                return _page(misfortune.status or 502)
            case Word.TRUNCATED if isinstance(body, bytes):
                return web.Response(body=body[: len(body) // 2], content_type="application/json")
            case Word.HUGE:
                return reply({"success": True, "msg": "x" * _HUGE})
            case Word.CHARSET if isinstance(body, bytes):
                return web.Response(text=body.decode(), content_type="application/json")
        return response

    async def _pass(self, delay: timedelta) -> None:
        """Let time pass, at most until the service closes."""
        if delay:
            with suppress(TimeoutError):
                async with asyncio.timeout(delay.total_seconds()):
                    await self.closing.wait()


class _TooFrequent(Refused):
    """The answer to a call that came too early is plain text."""

    def __init__(self, text: str) -> None:
        super().__init__(429, "rate_limit_exceeded", text)

    def response(self) -> web.Response:
        return web.Response(status=self.status, text=self.msg)


def _key_of(request: web.Request) -> str:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return key if scheme == "Bearer" else request.query.get("api_key", "")


def _hang_up(request: web.Request) -> web.Response:
    """Drop the connection; what is returned goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _answer(misfortune: Misfortune) -> web.Response:
    match misfortune.word:
        case Word.ERROR:
            response = refuse(misfortune.status or 500, "server_error", "Internal server error.")
        case Word.HTML:
            response = _page(misfortune.status or 502)
        case Word.QUOTA:
            msg = "Daily search quota exceeded."
            response = refuse(429, "search_quota_exceeded", misfortune.text or msg)
        case Word.BAD_KEY:
            return bad_key(misfortune.status or 401).response()
        case Word.NOT_ALLOWED:
            return not_allowed().response()
        case Word.DEPRECATED:
            msg = "This endpoint is deprecated."
            return refuse(410, "deprecated_endpoint", misfortune.text or msg)
        case Word.RATE_LIMITED:
            text = misfortune.text or TOO_FREQUENT[0]
            response = _raw(429, text)
        case _:
            response = _raw(misfortune.status or 200, misfortune.text or "")
    if misfortune.retry_after is not None:
        response.headers["Retry-After"] = f"{misfortune.retry_after:g}"
    return response


TOO_FREQUENT = (
    "API requests too frequent",
    "API requests too frequent: endpoint threshold=4.5",
    '{"detail":"API requests too frequent endpoint threshold=1.0"}',
    (
        '{"message":"The action could not be performed because there were too many requests by the'
        " client.\\n\\nAPI requests too frequent: endpoint threshold=4.5*1.0\\n\\n"
        '","code":"429 Too Many Requests"}'
    ),
    '{"error":"rate_limit_exceeded","msg":"API requests too frequent"}',
)
"""The bodies in which the service has said that it was called too often."""


def _raw(status: int, text: str) -> web.Response:
    """Exactly this text, as JSON where it looks like it."""
    kind = "application/json" if text.startswith(("{", "[")) else "text/plain"
    return web.Response(status=status, body=text.encode(), content_type=kind)


def _page(status: int) -> web.Response:
    """What a proxy in front of the service says."""
    title = {502: "502 Bad Gateway", 503: "503 Service Unavailable"}.get(status, str(status))
    return web.Response(status=status, text=_PAGE.format(title), content_type="text/html")
