"""The offers: listed, one by one, and the templates that fit them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from typing import Annotated

import orjson
from aiohttp import web
from pydantic import AfterValidator, Field

from broker.api import shapes
from broker.api.answers import Answer, Answers, answer_of, conditional
from broker.api.fields import (
    SPELLED_NUMBER,
    SPELLED_WHOLE,
    LongText,
    SpelledFraction,
    SpelledTruth,
    Text,
)
from broker.api.http import Query, encode, json_response, parse_query
from broker.api.present import present_warning
from broker.api.routes import Resource, Route, Tag
from broker.decide.offers import (
    DEFAULT_SORT,
    SORTS,
    Filter,
    Listed,
    near_misses,
    parse_gpu_types,
)
from broker.decide.templates import parse_conditions
from broker.errors import Detail, NotFound, ProviderUnavailable, ValidationFailed
from broker.model import Warned
from broker.usecases.inventory import Inventory
from broker.usecases.readings import Reading
from broker.usecases.templates import Templates, warnings_about
from providers.base import Template

MOST_ROWS = 1000
_LARGEST = 1_000_000


def _sort(text: str) -> str:
    if text not in SORTS:
        raise ValueError(f"must be one of {', '.join(SORTS)}")
    return text


Count = Annotated[int, Field(ge=0, le=_LARGEST), SPELLED_WHOLE]
Price = Annotated[Decimal, Field(ge=0, le=_LARGEST), SPELLED_NUMBER]
Cuda = Annotated[float, Field(ge=0, le=1000), SPELLED_NUMBER]


class InventoryQuery(Query):
    """Which offers to list."""

    provider: Text | None = Field(None, description="Only this provider's.")
    gpu_type: LongText | None = Field(
        None,
        description="A GPU type, or several with commas; `A100*` takes all that begin so.",
        examples=["RTX 4090"],
    )
    location: Text | None = Field(
        None, description="Two letters are a country, more a part of the place."
    )
    min_vram: Count = Field(0, description="GB of memory of one GPU.")
    max_price: Price | None = Field(None, description="USD per hour for the whole offer.")
    min_gpu_count: Count | None = Field(None, description="At least this many GPUs.")
    gpu_count: Count | None = Field(None, description="Another name for min_gpu_count.")
    gpu_count_exact: Count | None = Field(None, description="Exactly this many GPUs.")
    min_reliability: SpelledFraction = Field(0, description="0 to 1.")
    min_availability_confidence: SpelledFraction = Field(0, description="0 to 1.")
    min_cuda: Cuda = Field(0, description="CUDA version.")
    verified: SpelledTruth | None = Field(None, description="Whether the machine is verified.")
    template_hash_id: Text | None = Field(
        None, description="Only offers that this template can run on."
    )
    limit: Annotated[int, Field(ge=1, le=MOST_ROWS), SPELLED_WHOLE] = Field(
        MOST_ROWS, description="Rows."
    )
    offset: Annotated[int, Field(ge=0, le=2**31), SPELLED_WHOLE] = Field(
        0, description="Rows to leave out."
    )
    sort: Annotated[str, AfterValidator(_sort), Field(json_schema_extra={"enum": list(SORTS)})] = (
        Field(DEFAULT_SORT, description="By what; `-` descends; ties by id.")
    )


class InventoryRoutes(Resource):
    """Handlers of `/api/v1/inventory`."""

    def __init__(self, inventory: Inventory, templates: Templates) -> None:
        self._inventory = inventory
        self._templates = templates
        self._answers = Answers()

    async def list_all(self, request: web.Request) -> web.Response:
        asked, revision = request.rel_url.raw_query_string, self._inventory.revision
        answer = self._answers.find(asked, revision)
        if answer is None:
            answer = await self._answer(self._parse(request))
            self._answers.keep(asked, revision, answer)
        return conditional(request, answer)

    def _parse(self, request: web.Request) -> InventoryQuery:
        return parse_query(InventoryQuery, request, self._inventory.misnamed_provider)

    async def _answer(self, query: InventoryQuery) -> Answer:
        inventory = self._inventory
        await inventory.ready(query.provider)
        template = await self._template(query)
        wanted = _filter(query, template)
        inventory.require_offers(wanted.provider)
        found = inventory.search(wanted, query.sort)
        offers = [present_offer(row) for row in found[query.offset : query.offset + query.limit]]
        warnings = [*inventory.warnings(), *self._advice(query, template, found)]
        body: shapes.Offers = {
            "offers": offers,
            "count": len(offers),
            "total": len(found),
            "providers": {
                name: present_reading(reading) for name, reading in inventory.readings().items()
            },
            "warnings": [present_warning(warned) for warned in warnings],
        }
        ageless = {name: {**r, "age_seconds": None} for name, r in body["providers"].items()}
        encoded = encode(offers)
        return answer_of(
            {**body, "offers": orjson.Fragment(encoded)},
            says={**body, "offers": orjson.Fragment(_timeless(encoded)), "providers": ageless},
        )

    async def get(self, request: web.Request) -> web.Response:
        await self._inventory.ready()
        offer = present_offer(self._inventory.get(request.match_info["id"]))
        return conditional(
            request, answer_of(offer, says=orjson.Fragment(_timeless(encode(offer))))
        )

    async def compatible(self, request: web.Request) -> web.Response:
        await self._inventory.ready()
        listed = self._inventory.get(request.match_info["id"])
        templates = await self._templates.compatible(listed.offer)
        answer: shapes.CompatibleTemplates = {
            "offer_id": listed.id,
            "compatible_templates": [_present_brief(template) for template in templates],
            "count": len(templates),
        }
        if not self._templates.has_any(listed.offer.provider):
            answer["note"] = f"{listed.offer.provider} has no templates."
        return json_response(answer)

    async def _template(self, query: InventoryQuery) -> Template | None:
        """The template that the offers must be able to run; it exists at one provider only."""
        if query.template_hash_id is None:
            return None
        template = await self._templates.get(query.template_hash_id)
        if query.provider not in (None, template.provider):
            problem = f"contradicts the template, which is one of {template.provider}"
            raise ValidationFailed(
                f"The provider {problem}.", details=[Detail("provider", problem)]
            )
        return template

    def _advice(
        self, query: InventoryQuery, template: Template | None, found: Iterable[Listed]
    ) -> Iterable[Warned]:
        if template is not None:
            yield from warnings_about(template, [row.offer for row in found])
        for name, similar in near_misses(query.gpu_type or "", self._inventory.gpu_types).items():
            message = f"No offer is a plain {name!r}; {name}* takes these: {', '.join(similar)}."
            yield Warned("gpu_type_not_offered", message)

    ROUTES = (
        Route(
            method="GET",
            path="/api/v1/inventory",
            handler=list_all,
            operation="list_inventory",
            tag=Tag.INVENTORY,
            summary="List what can be rented",
            description=(
                "All on-demand offers of all configured marketplaces, the cheapest first. "
                "`providers` and `warnings` tell which part is stale or missing."
            ),
            query=InventoryQuery,
            answers={200: shapes.Offers},
            errors=(NotFound, ProviderUnavailable),
            is_conditional=True,
        ),
        Route(
            method="GET",
            path="/api/v1/inventory/{id}",
            handler=get,
            operation="get_offer",
            tag=Tag.INVENTORY,
            summary="Get an offer",
            names={"id": shapes.OfferId},
            answers={200: shapes.Offer},
            errors=(NotFound, ProviderUnavailable),
            is_conditional=True,
        ),
        Route(
            method="GET",
            path="/api/v1/inventory/{id}/compatible-templates",
            handler=compatible,
            operation="list_compatible_templates",
            tag=Tag.TEMPLATES,
            summary="Templates that an offer can run",
            description="Empty for providers without templates.",
            names={"id": shapes.OfferId},
            answers={200: shapes.CompatibleTemplates},
            errors=(NotFound, ProviderUnavailable),
        ),
    )


def _filter(query: InventoryQuery, template: Template | None) -> Filter:
    count = query.gpu_count if query.min_gpu_count is None else query.min_gpu_count
    return Filter(
        provider=template.provider if template else query.provider,
        gpu_types=parse_gpu_types(query.gpu_type) if query.gpu_type else None,
        location=query.location,
        min_gpu_count=count or 1,
        gpu_count_exact=query.gpu_count_exact,
        min_vram=query.min_vram,
        max_price=query.max_price,
        min_reliability=query.min_reliability,
        min_availability_confidence=query.min_availability_confidence,
        min_cuda=query.min_cuda,
        verified=query.verified,
        conditions=parse_conditions(template).conditions if template else (),
    )


def present_offer(listed: Listed) -> shapes.Offer:
    """The offer object."""
    offer = listed.offer
    return {
        "id": listed.id,
        "provider": offer.provider,
        "provider_id": offer.provider_id,
        "machine_id": offer.machine_id,
        "gpu_type": offer.gpu_type,
        "gpu_count": offer.gpu_count,
        "vram_gb": offer.vram_gb,
        "total_vram_gb": offer.vram_gb * offer.gpu_count,
        "price_per_hour": listed.price,
        "price_per_gpu_hour": listed.price_per_gpu,
        "disk_gb": offer.included_disk_gb,
        "disk_price_per_gb_hour": offer.disk_price_per_gb_hour,
        "location": offer.location,
        "reliability": offer.reliability,
        "verified": offer.verified,
        "interruptible": offer.interruptible,
        "available": True,
        "availability_confidence": listed.confidence,
        "max_duration_hours": _present_hours(offer.max_duration),
        "fetched_at": offer.fetched_at,
        "cuda_version": offer.cuda_version,
    }


def _timeless(offers: bytes) -> bytes:
    """What encoded offers say whenever they are read."""
    return _READ_AT.sub(b"", offers)


_READ_AT = re.compile(rb'"fetched_at":"[^"]*"')


def _present_hours(longest: timedelta | None) -> float:
    """0 is without limit."""
    return 0 if longest is None else round(longest / timedelta(hours=1), 6)


def present_reading(reading: Reading) -> shapes.Reading:
    """How the readings of one provider stand."""
    return {
        "ok": reading.is_ok,
        "age_seconds": None if reading.age is None else int(reading.age.total_seconds()),
        "offers": reading.offers,
        "error": reading.error,
    }


def _present_brief(template: Template) -> shapes.BriefTemplate:
    return {
        "hash_id": template.hash_id,
        "name": template.name,
        "image": template.image,
        "recommended_disk_space": template.recommended_disk_space,
    }
