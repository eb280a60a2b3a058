"""The HTTP routes of the simulated market: asking for misfortunes. Loopback only."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Awaitable, Callable
from functools import wraps

from aiohttp import web

from providers.simulator.faults import (
    FaultBook,
    FaultInvalid,
    Problem,
    parse_fault,
    present_fault,
)

Handler = Callable[[web.Request], Awaitable[web.Response]]


def fault_routes(book: FaultBook) -> list[web.RouteDef]:
    """`/faults`: GET lists what is still to come, POST adds one, DELETE clears."""

    async def show(request: web.Request) -> web.Response:  # noqa: ARG001
        return _listed(book)

    async def add(request: web.Request) -> web.Response:
        try:
            book.add(parse_fault(await _body(request)))
        except FaultInvalid as error:
            raise _refusal(error) from error
        return _listed(book, status=201)

    async def clear(request: web.Request) -> web.Response:  # noqa: ARG001
        book.clear()
        return _listed(book)

    return [
        web.get("/faults", _loopback_only(show)),
        web.post("/faults", _loopback_only(add)),
        web.delete("/faults", _loopback_only(clear)),
    ]


async def _body(request: web.Request) -> object:
    try:
        return json.loads(await request.read())
    except (ValueError, RecursionError) as error:
        raise FaultInvalid([Problem("body", "is not JSON")]) from error


def _listed(book: FaultBook, *, status: int = 200) -> web.Response:
    faults = [present_fault(fault) for fault in book.left]
    return web.json_response({"faults": faults, "count": len(faults)}, status=status)


def _refusal(error: FaultInvalid) -> web.HTTPException:
    body = {
        "error": f"This misfortune cannot be scripted: {error}.",
        "code": "validation_error",
        "details": [{"field": field, "message": message} for field, message in error.problems],
    }
    return web.HTTPBadRequest(text=json.dumps(body), content_type="application/json")


def _loopback_only(handler: Handler) -> Handler:
    """`handler` for clients on this computer; anyone else is refused."""

    @wraps(handler)
    async def guarded(request: web.Request) -> web.Response:
        if _is_loopback(request.remote):
            return await handler(request)
        body = {
            "error": "Misfortunes can be scripted from this computer only.",
            "code": "permission_denied",
        }
        raise web.HTTPForbidden(text=json.dumps(body), content_type="application/json")

    return guarded


def _is_loopback(remote: str | None) -> bool:
    """A Unix socket has no address and is local too."""
    if not remote:
        return True
    address = ipaddress.ip_address(remote.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
