"""What every call goes through: it is noted, admitted, and may suffer a misfortune."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from tests.wire.answers import Refused, page, raw, reply
from tests.wire.misfortunes import UNANSWERED, Common, Misfortune, Misfortunes, Vocabulary

_OWN = web.RequestKey("own misfortune", Misfortune)
_HUGE = 50_000_000


@dataclass
class Call:
    """One request, as it came in."""

    method: str
    path: str
    """Without the query."""
    query: dict[str, str]
    body: Any
    """Parsed JSON; None where there is none."""
    at: datetime
    operation: str
    status: int | None = field(default=None, compare=False)
    """What was answered; None while nothing was, and where a misfortune kept the answer away."""


def own_misfortune(request: web.Request) -> Misfortune | None:
    """What the handler of this call has to make happen itself."""
    return request.get(_OWN)


@dataclass
class Gate:
    """The middleware of a service."""

    vocabulary: Vocabulary
    misfortunes: Misfortunes
    operation_of: Callable[[web.Request], str]
    settle: Callable[[], datetime]
    """Lets everything happen that should have by now, which it returns."""
    admit: Callable[[web.Request, Call], None]
    """Raises `Refused` for whoever may not call, or not yet."""
    answer: Callable[[Misfortune], web.Response | None]
    """What the service says for a word of its own that happens instead of a call."""
    calls: list[Call] = field(default_factory=list)
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    def middleware(self) -> Middleware:
        """For the application."""

        @web.middleware
        async def serve(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._serve(request, handler)

        return serve

    async def _serve(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        call = await self._note(request)
        suffered = self.misfortunes.take(call.operation)
        instead = next((one for one in suffered if one.word in self.vocabulary.instead), None)
        spoilt = next((one for one in suffered if one.word in self.vocabulary.spoilt), None)
        for own in suffered:
            if own not in (instead, spoilt):
                request[_OWN] = own
        try:
            self.admit(request, call)
            answer = await self._suffer(request, instead) if instead else None
            response = answer or await handler(request)
        except Refused as refused:
            response = refused.response()
        except web.HTTPBadRequest as refused:
            # Raised ones name a charset.
            response = raw(refused.status, refused.text or "")
        if spoilt:
            response = await self._spoil(request, response, spoilt)
        if not {one.word for one in suffered} & UNANSWERED:
            call.status = response.status
        return response

    async def _note(self, request: web.Request) -> Call:
        now = self.settle()
        body = None
        with suppress(ValueError):
            body = json.loads(await request.text())
        query = dict(request.query)
        call = Call(request.method, request.path, query, body, now, self.operation_of(request))
        self.calls.append(call)
        return call

    async def _suffer(self, request: web.Request, misfortune: Misfortune) -> web.Response | None:
        """What is answered instead; None where the call goes on."""
        await self._pass(misfortune.delay)
        match misfortune.word:
            case Common.HANGS:
                await self.closing.wait()
                return web.Response()
            case Common.RESET:
                return _hang_up(request)
            case Common.SLOW:
                return None
            case Common.HTML:
                response = page(misfortune.status or 502)
            case Common.ANSWER:
                response = raw(misfortune.status or 200, misfortune.text or "")
            case _:
                response = self.answer(misfortune) or web.Response(status=500)
        if misfortune.retry_after is not None:
            response.headers["Retry-After"] = f"{misfortune.retry_after:g}"
        return response

    async def _spoil(
        self, request: web.Request, response: web.StreamResponse, misfortune: Misfortune
    ) -> web.StreamResponse:
        """A right answer, on its way to the client."""
        await self._pass(misfortune.delay)
        body = response.body if isinstance(response, web.Response) else b""
        match misfortune.word:
            case Common.REPLY_RESET:
                return _hang_up(request)
            case Common.REPLY_HANGS:
                await self.closing.wait()
                return response
            case Common.REPLY_BAD_GATEWAY:
                return page(misfortune.status or 502)
            case Common.TRUNCATED if isinstance(body, bytes):
                return web.Response(body=body[: len(body) // 2], content_type="application/json")
            case Common.HUGE:
                return reply({"success": True, "msg": "x" * _HUGE})
            case Common.CHARSET if isinstance(body, bytes):
                return web.Response(text=body.decode(), content_type="application/json")
        return response

    async def _pass(self, delay: timedelta) -> None:
        """Let time pass, at most until the service closes."""
        if delay:
            with suppress(TimeoutError):
                async with asyncio.timeout(delay.total_seconds()):
                    await self.closing.wait()


def bearer_of(request: web.Request) -> str:
    """The secret of the Authorization header; empty where there is none."""
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    return secret if scheme == "Bearer" else ""


def _hang_up(request: web.Request) -> web.Response:
    """Drop the connection; what is returned goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
