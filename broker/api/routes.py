"""The table of routes: each row is what serves a route and what describes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from types import MethodType
from typing import ClassVar

from aiohttp import hdrs, web
from pydantic import BaseModel

from broker.api.http import MISTAKES, Query, parse_query
from broker.api.idempotency import parse_key
from broker.errors import BrokerError, ValidationFailed

Handler = Callable[..., Awaitable[web.StreamResponse]]
"""A method of a resource: it takes the resource and the request."""


class Tag(Enum):
    """What a route is about."""

    INVENTORY = "Inventory", "What can be rented, and for how much."
    TEMPLATES = "Templates", "Prepared images that machines can be made from."
    SESSIONS = "Sessions", "Rent a machine, look after it, end it."
    COSTS = "Costs", "What was spent, exact to the second."
    OPERATION = "Operation", "How the broker and its marketplace accounts are."
    DOCUMENTATION = "Documentation", "This document, and others."

    def __init__(self, title: str, about: str) -> None:
        self.title = title
        self.about = about


@dataclass(frozen=True, slots=True)
class Media:
    """An answer that is not JSON."""

    types: tuple[str, ...]
    """As in Content-Type, without parameters."""
    example: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One row of the table of routes: what serves it and what describes it."""

    method: str
    path: str
    handler: Handler
    operation: str
    """Its name, unique and for ever: clients that are generated call their functions so."""
    tag: Tag
    summary: str
    description: str = ""
    answers: Mapping[int, object]
    """Every status that is no error -> its shape, or its Media."""
    errors: tuple[type[BrokerError], ...] = ()
    """What the handler may raise, beside what every route may."""
    names: Mapping[str, object] = field(default_factory=dict)
    """Parameter of the path -> its type."""
    query: type[Query] | None = None
    """What its handler reads of the query string; None: parameters are wrong."""
    body: type[BaseModel] | None = None
    is_conditional: bool = False
    """Its answer carries an ETag, and If-None-Match gives 304."""
    is_keyed: bool = False
    """It takes an Idempotency-Key."""
    may_be_asynchronous: bool = False
    """With `Prefer: respond-async` it answers before the work is done."""


class Resource:
    """Handlers, with the table of their routes."""

    ROUTES: ClassVar[tuple[Route, ...]] = ()

    def mount_on(self, application: web.Application) -> None:
        """Serve these routes; what answers GET answers HEAD too."""
        for route in self.ROUTES:
            handler = _looked_over(route, MethodType(route.handler, self))
            application.router.add_route(route.method, route.path, handler)
            if route.method == hdrs.METH_GET:
                application.router.add_route(hdrs.METH_HEAD, route.path, handler)


def _looked_over(route: Route, handler: Handler) -> Handler:
    """Judge what the handler does not read: parameters where none belong, and the key.

    A handler that reads a body tells of these mistakes together with those in the body.
    """
    judges: list[Callable[[web.Request], object]] = []
    if route.query is None:
        judges.append(partial(parse_query, Query))
    if route.is_keyed:
        judges.append(parse_key)

    async def handle(request: web.Request) -> web.StreamResponse:
        for judge in judges:
            try:
                judge(request)
            except ValidationFailed as mistake:
                if route.body is None:
                    raise
                request[MISTAKES] = (*request.get(MISTAKES, ()), *mistake.details)
        return await handler(request)

    return handle if judges else handler
