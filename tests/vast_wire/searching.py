"""The calls that search for offers: with and without a key, in three spellings."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from tests.vast_wire.answers import read_body, read_parameter
from tests.vast_wire.fleet import Fleet
from tests.vast_wire.search import search
from tests.wire.answers import Body, reply


def routes(fleet: Fleet) -> list[web.RouteDef]:
    """`/api/v0/bundles/` and `/api/v0/search/asks/`."""

    def answer(query: Any) -> web.Response:
        wanted: Body = query if isinstance(query, dict) else {}
        return reply({"offers": search(fleet.offers(), wanted, fleet.now().timestamp())})

    async def post(request: web.Request) -> web.Response:
        return answer(await read_body(request))

    async def get(request: web.Request) -> web.Response:
        return answer(read_parameter(request.query, "q", {}))

    async def put(request: web.Request) -> web.Response:
        return answer((await read_body(request)).get("q"))

    return [
        web.post("/api/v0/bundles/", post),
        web.get("/api/v0/bundles/", get),
        web.get("/api/v0/bundles", get),
        web.put("/api/v0/search/asks/", put),
    ]
