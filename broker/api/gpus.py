"""The market by GPU type."""

from __future__ import annotations

from dataclasses import asdict

import orjson
from aiohttp import web

from broker.api.http import Route, encode, json_response, parse_query, raw_response
from broker.api.inventory import present_offer
from broker.api.models import NoQuery
from broker.api.pages import Page, Pages, page_of
from broker.decide.offers import market_of, markets_of, parse_gpu_types, sort_listed
from broker.errors import NotFound
from broker.usecases.inventory import Inventory


class GpuRoutes:
    """Handlers of `/api/v1/gpus`."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._pages = Pages()

    def routes(self) -> list[Route]:
        """The table of these routes."""
        base, one = "/api/v1/gpus", "/api/v1/gpus/{gpu_type}/availability"
        return [
            Route("GET", base, self.list, "The GPU types on the market", NoQuery),
            Route("GET", one, self.get, "One GPU type and its offers", NoQuery),
        ]

    async def list(self, request: web.Request) -> web.Response:
        parse_query(NoQuery, request)
        await self._inventory.ready()
        self._inventory.require_offers()
        page = self._pages.get("", self._inventory.revision, self._page)
        return raw_response(encode({"gpus": orjson.Fragment(page.rows), "count": page.count}))

    async def get(self, request: web.Request) -> web.Response:
        parse_query(NoQuery, request)
        await self._inventory.ready()
        self._inventory.require_offers()
        name = self._offered(request.match_info["gpu_type"])
        rows = sort_listed(self._inventory.listed(parse_gpu_types(name)))
        offers = [present_offer(row) for row in rows]
        return json_response({**asdict(market_of(name, rows)), "offers": offers})

    def _page(self) -> Page:
        markets = markets_of(self._inventory.listed())
        return page_of(markets, total=len(markets))

    def _offered(self, spelling: str) -> str:
        """The name of the type that is on the market, be it taken now; raises NotFound."""
        asked = parse_gpu_types(spelling).exact
        for name in self._inventory.gpu_types:
            if name.casefold() in asked:
                return name
        raise NotFound("No offer has this GPU type: /api/v1/gpus lists those there are.")
