"""The market by GPU type."""

from __future__ import annotations

from dataclasses import asdict

from aiohttp import web

from broker.api.answers import Answers, answer_of, conditional
from broker.api.http import Route, json_response, parse_query
from broker.api.inventory import present_offer
from broker.api.models import NoQuery
from broker.decide.offers import market_of, markets_of, parse_gpu_types, sort_listed
from broker.errors import NotFound
from broker.usecases.inventory import Inventory


class GpuRoutes:
    """Handlers of `/api/v1/gpus`."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._answers = Answers()

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
        revision = self._inventory.revision
        answer = self._answers.find("", revision)
        if answer is None:
            markets = markets_of(self._inventory.listed())
            answer = answer_of({"gpus": markets, "count": len(markets)})
            self._answers.keep("", revision, answer)
        return conditional(request, answer)

    async def get(self, request: web.Request) -> web.Response:
        parse_query(NoQuery, request)
        await self._inventory.ready()
        self._inventory.require_offers()
        name = self._offered(request.match_info["gpu_type"])
        rows = sort_listed(self._inventory.listed(parse_gpu_types(name)))
        offers = [present_offer(row) for row in rows]
        return json_response({**asdict(market_of(name, rows)), "offers": offers})

    def _offered(self, spelling: str) -> str:
        """The name of the type that is on the market, be it taken now; raises NotFound."""
        asked = parse_gpu_types(spelling).exact
        for name in self._inventory.gpu_types:
            if name.casefold() in asked:
                return name
        raise NotFound("No offer has this GPU type: /api/v1/gpus lists those there are.")
