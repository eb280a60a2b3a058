"""The table of routes: each row is what serves a route and what describes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MethodType
from typing import ClassVar

from aiohttp import hdrs, web
from pydantic import BaseModel

from broker.api.http import Query, parse_query
from broker.errors import BrokerError

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
            handler: Handler = MethodType(route.handler, self)
            if route.query is None:
                handler = _without_parameters(handler)
            application.router.add_route(route.method, route.path, handler)
            if route.method == hdrs.METH_GET:
                application.router.add_route(hdrs.METH_HEAD, route.path, handler)


def _without_parameters(handler: Handler) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        parse_query(Query, request)
        return await handler(request)

    return handle
