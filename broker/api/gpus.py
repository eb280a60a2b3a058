"""The market by GPU type."""

from __future__ import annotations

from aiohttp import web

from broker.api import shapes
from broker.api.answers import Answers, answer_of, conditional
from broker.api.http import json_response
from broker.api.inventory import present_offer
from broker.api.routes import Resource, Route, Tag
from broker.decide.offers import GpuMarket, market_of, markets_of, parse_gpu_types, sort_listed
from broker.errors import NotFound, ProviderUnavailable
from broker.usecases.inventory import Inventory
from providers.gpus import gpu_key


class GpuRoutes(Resource):
    """Handlers of `/api/v1/gpus`."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._answers = Answers()

    async def list_all(self, request: web.Request) -> web.Response:
        await self._inventory.ready()
        self._inventory.require_offers()
        revision = self._inventory.revision
        answer = self._answers.find("", revision)
        if answer is None:
            markets = [_present(market) for market in markets_of(self._inventory.listed())]
            body: shapes.GpuMarkets = {"gpus": markets, "count": len(markets)}
            answer = answer_of(body)
            self._answers.keep("", revision, answer)
        return conditional(request, answer)

    async def get(self, request: web.Request) -> web.Response:
        await self._inventory.ready()
        self._inventory.require_offers()
        name = self._offered(request.match_info["gpu_type"])
        rows = sort_listed(self._inventory.listed(parse_gpu_types(name)))
        answer: shapes.GpuAvailability = {
            **_present_figures(market_of(name, rows)),
            "offers": [present_offer(row) for row in rows],
        }
        return json_response(answer)

    def _offered(self, spelling: str) -> str:
        """The name of the type that is on the market, be it taken now.

        Raises NotFound, or ProviderUnavailable where not everything can be read.
        """
        if not spelling.isprintable() or "/" in spelling:
            raise NotFound("No GPU type has such a name: /api/v1/gpus lists those there are.")
        for name in self._inventory.gpu_types:
            if gpu_key(name) == gpu_key(spelling):
                return name
        self._inventory.require_all()
        raise NotFound("No offer has this GPU type: /api/v1/gpus lists those there are.")

    ROUTES = (
        Route(
            method="GET",
            path="/api/v1/gpus",
            handler=list_all,
            operation="list_gpus",
            tag=Tag.INVENTORY,
            summary="The GPU types on the market",
            answers={200: shapes.GpuMarkets},
            errors=(ProviderUnavailable,),
            is_conditional=True,
        ),
        Route(
            method="GET",
            path="/api/v1/gpus/{gpu_type}/availability",
            handler=get,
            operation="get_gpu_availability",
            tag=Tag.INVENTORY,
            summary="One GPU type and its offers",
            description="Any spelling will do: `RTX 4090`, `rtx-4090`, `RTX_4090`.",
            names={"gpu_type": shapes.GpuType},
            answers={200: shapes.GpuAvailability},
            errors=(NotFound, ProviderUnavailable),
        ),
    )


def _present(market: GpuMarket) -> shapes.GpuMarket:
    return {**_present_figures(market), "offers": market.offers}


def _present_figures(market: GpuMarket) -> shapes.GpuFigures:
    return {
        "gpu_type": market.gpu_type,
        "vram_gb": market.vram_gb,
        "gpus": market.gpus,
        "min_price_per_gpu_hour": market.min_price_per_gpu_hour,
        "median_price_per_gpu_hour": market.median_price_per_gpu_hour,
        "providers": [*market.providers],
    }
