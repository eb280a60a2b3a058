"""Offers, GPU types and templates, as they are answered."""

from __future__ import annotations

from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from broker.api.shapes.words import (
    Count,
    GpuCount,
    GpuType,
    Image,
    Instant,
    Location,
    MachineId,
    Money,
    OfferId,
    Provider,
    TemplateId,
    Total,
)
from broker.model import Reason


class Warned(TypedDict):
    """Something to know, though the request succeeded."""

    code: Annotated[str, Field(description="A word for programs.", examples=["stale"])]
    message: Annotated[
        str,
        Field(
            description="A sentence for people.",
            examples=["The offers of vastai were read at 2026-01-29T11:58:00Z."],
        ),
    ]


class Offer(TypedDict):
    """Something that can be rented, as it was last seen."""

    id: OfferId
    provider: Provider
    provider_id: Annotated[str, Field(description="The provider's own id.", examples=["12345"])]
    machine_id: MachineId
    gpu_type: GpuType
    gpu_count: GpuCount
    vram_gb: Annotated[int, Field(description="Nominal GB of one GPU.", examples=[24])]
    total_vram_gb: Annotated[int, Field(description="Of all its GPUs.", examples=[24])]
    price_per_hour: Annotated[
        Money, Field(description="USD for the whole offer, with `disk_gb`.", examples=[0.45])
    ]
    price_per_gpu_hour: Annotated[Money, Field(description="USD for one GPU.", examples=[0.45])]
    disk_gb: Annotated[int, Field(description="GB that the price includes.", examples=[50])]
    disk_price_per_gb_hour: Annotated[
        Money, Field(description="USD for each GB beyond them.", examples=[0.0002])
    ]
    location: Location
    reliability: Annotated[
        float | None, Field(description="0 to 1; null where unknown.", examples=[0.98])
    ]
    verified: Annotated[
        bool | None,
        Field(description="By the marketplace; null where unknown.", examples=[True]),
    ]
    interruptible: Annotated[
        bool, Field(description="The provider may take it away.", examples=[False])
    ]
    available: Annotated[bool, Field(description="Always true: it is listed.", examples=[True])]
    availability_confidence: Annotated[
        float,
        Field(
            description="0 to 1: how far to believe it; it falls with age and failures.",
            examples=[1.0],
        ),
    ]
    max_duration_hours: Annotated[
        float, Field(description="How long it can be rented; 0 is without limit.", examples=[0])
    ]
    fetched_at: Annotated[Instant, Field(description="When it was seen.")]
    cuda_version: Annotated[
        float | None, Field(description="CUDA; null where unknown.", examples=[13.0])
    ]


class Reading(TypedDict):
    """How the readings of one provider stand."""

    ok: Annotated[
        bool, Field(description="The latest was good and is not too old.", examples=[True])
    ]
    age_seconds: Annotated[
        int | None, Field(description="Of the last good one; null: none yet.", examples=[12])
    ]
    offers: Annotated[int, Field(description="Listed from it.", examples=[150])]
    error: Annotated[str | None, Field(description="Why it cannot be read now.", examples=[None])]


class Offers(TypedDict):
    """A page of the inventory, and which part of it is stale or missing."""

    offers: list[Offer]
    count: Count
    total: Total
    providers: Annotated[dict[str, Reading], Field(description="By name.")]
    warnings: list[Warned]


class BriefTemplate(TypedDict):
    """What one chooses a template by."""

    hash_id: TemplateId
    name: Annotated[str, Field(description="Its name.", examples=["Ollama"])]
    image: Image
    recommended_disk_space: Annotated[
        int | None, Field(description="GB of disk to ask for.", examples=[32])
    ]


class CompatibleTemplates(TypedDict):
    """The templates that an offer can run."""

    offer_id: OfferId
    compatible_templates: list[BriefTemplate]
    count: Count
    note: NotRequired[Annotated[str, Field(description="Why there cannot be any.")]]


class Template(TypedDict):
    """A prepared image with its settings, as the provider publishes it."""

    id: Annotated[int | None, Field(description="The provider's own.", examples=[338630])]
    hash_id: TemplateId
    name: Annotated[str, Field(description="Its name.", examples=["Ollama"])]
    provider: Provider
    image: Image
    tag: Annotated[str | None, Field(description="Of the image.", examples=["0.15.4"])]
    env: Annotated[
        str | None,
        Field(
            description="Docker flags, as the provider keeps them.",
            examples=["-p 1111:1111 -p 21434:21434 -e OLLAMA_MODEL=qwen3:14b"],
        ),
    ]
    env_vars: Annotated[
        dict[str, str],
        Field(description="The variables among them.", examples=[{"OLLAMA_MODEL": "qwen3:14b"}]),
    ]
    ports: Annotated[
        list[int], Field(description="The ports among them.", examples=[[1111, 21434]])
    ]
    onstart: Annotated[
        str | None, Field(description="What runs at the start.", examples=["entrypoint.sh"])
    ]
    runtype: Annotated[str | None, Field(description="How it runs.", examples=["jupyter"])]
    use_ssh: Annotated[bool, Field(description="It brings SSH.", examples=[True])]
    ssh_direct: Annotated[bool, Field(description="Without a proxy.", examples=[True])]
    recommended: Annotated[bool, Field(description="By the provider.", examples=[True])]
    recommended_disk_space: Annotated[
        int | None, Field(description="GB of disk to ask for.", examples=[32])
    ]
    extra_filters: Annotated[
        str | None,
        Field(
            description="JSON text: what an offer must have, in the provider's words.",
            examples=['{"cpu_arch": {"in": ["arm64", "amd64"]}}'],
        ),
    ]
    creator_id: Annotated[int | None, Field(description="Its author.", examples=[62897])]
    created_at: Annotated[
        Instant | None,
        Field(description="When it was made.", examples=["2026-02-02T18:27:28.000Z"]),
    ]
    count_created: Annotated[
        int | None, Field(description="Machines made from it.", examples=[302])
    ]


class Templates(TypedDict):
    """Templates of all providers that have some."""

    templates: list[Template]
    count: Count
    warnings: list[Warned]


class GpuFigures(TypedDict):
    """Figures of one GPU type; null where nothing is offered."""

    gpu_type: GpuType
    vram_gb: Annotated[
        int | None, Field(description="Nominal GB of one GPU, the least.", examples=[24])
    ]
    gpus: Annotated[int, Field(description="In all offers.", examples=[61])]
    min_price_per_gpu_hour: Annotated[Money | None, Field(description="USD.", examples=[0.31])]
    median_price_per_gpu_hour: Annotated[Money | None, Field(description="USD.", examples=[0.45])]
    providers: Annotated[list[str], Field(description="Who offers it.", examples=[["vastai"]])]


class GpuMarket(GpuFigures):
    """What there is of one GPU type."""

    offers: Annotated[int, Field(description="How many.", examples=[42])]


class GpuMarkets(TypedDict):
    """Every GPU type that is offered."""

    gpus: list[GpuMarket]
    count: Count


class GpuAvailability(GpuFigures):
    """What there is of one GPU type, with its offers, the cheapest first."""

    offers: list[Offer]


class TroubledOffer(TypedDict):
    """An offer that failed lately."""

    offer_id: OfferId
    machine_id: MachineId
    provider: Provider
    gpu_type: GpuType
    recent_failures: Annotated[
        int, Field(description="Of the offer or its machine, in the last hour.", examples=[2])
    ]
    last_reason: Annotated[Reason | None, Field(description="The latest.", examples=["wrong_gpu"])]
    passed_over_until: Annotated[
        Instant | None, Field(description="Until then it is not chosen; null: it is.")
    ]


class OfferHealth(TypedDict):
    """The offers that failed lately."""

    offers: list[TroubledOffer]
    count: Count
