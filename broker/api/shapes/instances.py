"""The machines of a marketplace account, as they are answered."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from broker.api.shapes.words import Count, GpuType, Instant, Money, Provider, SessionId
from broker.decide.ownership import Ownership
from broker.model import Status
from providers.base import InstanceStatus


class Instance(TypedDict):
    """One machine of an account. Null where the marketplace does not tell, or nobody knows."""

    instance_id: Annotated[str, Field(description="The provider's.", examples=["30412345"])]
    label: Annotated[
        str | None,
        Field(
            description="As the marketplace has it.",
            examples=["gpub-4f2k9qzw-abc234defg-29494320-1"],
        ),
    ]
    ownership: Annotated[
        Ownership,
        Field(
            description=(
                "`ours`: a live session holds it, whatever its label says now; `orphaned`: it has "
                "our label, and none does; "
                "`unreadable`: its label has our mark, and nobody can read the rest, never "
                "touched; `foreign`: another deployment's or no broker's, never touched."
            ),
            examples=["ours"],
        ),
    ]
    deployment: Annotated[
        str | None, Field(description="The broker on its label.", examples=["4f2k9qzw"])
    ]
    session_id: Annotated[
        SessionId | None, Field(description="The session that holds it, else the one on its label.")
    ]
    session_status: Annotated[
        Status | None, Field(description="Of that session, where it is ours.", examples=["running"])
    ]
    status: Annotated[
        InstanceStatus, Field(description="As the marketplace calls it.", examples=["running"])
    ]
    gpu_type: GpuType | None
    gpu_count: Annotated[int | None, Field(description="GPUs of the machine.", examples=[1])]
    created_at: Annotated[Instant | None, Field(description="When it was made.")]
    age_seconds: Annotated[
        int | None,
        Field(
            description="Since then, or since an orphan was first seen.",
            examples=[5400],
        ),
    ]
    price_per_hour: Annotated[Money | None, Field(description="USD.", examples=[0.46])]
    deadline: Annotated[
        Instant | None,
        Field(
            description="The instant on its label, after which it has no right to live.",
            examples=["2026-01-30T01:00:00.000Z"],
        ),
    ]
    first_seen_at: Annotated[
        Instant | None, Field(description="Since when it is known as an orphan.", examples=[None])
    ]
    destroy_asked_at: Annotated[
        Instant | None,
        Field(
            description="When the marketplace agreed to destroy an orphan.",
            examples=[None],
        ),
    ]


class Instances(TypedDict):
    """Every machine of one account."""

    provider: Provider
    instances: list[Instance]
    count: Count
    listed_at: Annotated[Instant, Field(description="When the marketplace was asked.")]
    burn_per_hour: Annotated[
        Money,
        Field(description="USD of all machines whose price is known.", examples=[0.46]),
    ]
