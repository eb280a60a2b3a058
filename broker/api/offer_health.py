"""The offers that failed lately, and until when they are passed over."""

from __future__ import annotations

from aiohttp import web
from pydantic import Field

from broker.api import shapes
from broker.api.fields import Text
from broker.api.http import Query, json_response, parse_query
from broker.api.routes import Resource, Route, Tag
from broker.decide.confidence import Troubled
from broker.decide.offers import parse_gpu_types
from broker.usecases.inventory import Inventory


class OfferHealthQuery(Query):
    """Which offers to tell of."""

    provider: Text | None = Field(None, description="Only this provider's.")
    gpu_type: Text | None = Field(None, description="Only this GPU type.")


class OfferHealthRoutes(Resource):
    """Handler of `/api/v1/offer-health`."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory

    async def list_all(self, request: web.Request) -> web.Response:
        query = parse_query(OfferHealthQuery, request, self._inventory.misnamed_provider)
        wanted = parse_gpu_types(query.gpu_type) if query.gpu_type else None
        offers = [
            _present(troubled)
            for troubled in self._inventory.troubled()
            if query.provider in (None, troubled.failure.provider)
            and (wanted is None or troubled.failure.gpu_type in wanted)
        ]
        answer: shapes.OfferHealth = {"offers": offers, "count": len(offers)}
        return json_response(answer)

    ROUTES = (
        Route(
            method="GET",
            path="/api/v1/offer-health",
            handler=list_all,
            operation="list_offer_health",
            tag=Tag.INVENTORY,
            summary="Offers that failed lately",
            description="What failed is passed over for a while when the cheapest is chosen.",
            query=OfferHealthQuery,
            answers={200: shapes.OfferHealth},
        ),
    )


def _present(troubled: Troubled) -> shapes.TroubledOffer:
    failure, record = troubled.failure, troubled.record
    return {
        "offer_id": failure.offer_id,
        "machine_id": failure.machine_id,
        "provider": failure.provider,
        "gpu_type": failure.gpu_type,
        "recent_failures": record.recent,
        "last_reason": record.last_reason,
        "passed_over_until": record.passed_over_until,
    }
