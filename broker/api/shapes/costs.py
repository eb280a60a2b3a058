"""What was spent, as it is answered."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from broker.api.shapes.words import Count, Currency, Instant, Money, SessionId

CostsOf = Annotated[
    str, Field(description="Whose; empty is everyone's.", examples=["my-application"])
]


class SessionCost(TypedDict):
    """What one session cost."""

    session_id: SessionId
    total_cost: Annotated[Money, Field(description="USD so far.", examples=[1.35])]
    currency: Currency


class Cost(TypedDict):
    """What a stretch of time cost so far; the parts add up to the total.

    A machine is billed by the microsecond, from the marketplace's acceptance of its creation to
    the acceptance of the destruction that was later proved, at the rate that is really charged.
    """

    total_cost: Annotated[Money, Field(description="USD so far.", examples=[45.67])]
    session_count: Annotated[int, Field(description="That were billed in it.", examples=[12])]
    hours_used: Annotated[Decimal, Field(description="Hours that were billed.", examples=[98.5])]
    by_provider: Annotated[
        dict[str, Money], Field(description="USD.", examples=[{"vastai": 30, "simulator": 15.67}])
    ]
    by_gpu_type: Annotated[
        dict[str, Money], Field(description="USD.", examples=[{"RTX 4090": 25, "A100": 20.67}])
    ]


class LiveCost(TypedDict):
    """What runs at this moment, whatever the period is."""

    live_sessions: Annotated[int, Field(description="That are not over.", examples=[2])]
    live_cost: Annotated[
        Money, Field(description="USD that they have cost since they began.", examples=[1.12])
    ]
    burn_per_hour: Annotated[
        Money,
        Field(
            description="USD per hour of the machines that are not proved gone.", examples=[0.91]
        ),
    ]


class CostPeriod(TypedDict):
    """A stretch of time in UTC."""

    period_start: Annotated[Instant, Field(examples=["2026-01-01T00:00:00.000Z"])]
    period_end: Annotated[
        Instant, Field(description="Not included.", examples=["2026-02-01T00:00:00.000Z"])
    ]


class CostSummary(Cost, LiveCost, CostPeriod):
    """What a period cost so far, and what runs now."""

    consumer_id: CostsOf
    currency: Currency


class DayCost(Cost):
    """What a UTC day cost so far."""

    date: Annotated[str, Field(description="YYYY-MM-DD.", examples=["2026-01-29"])]


class DailyCosts(CostPeriod):
    """What each day of a period cost so far; the days add up to the total."""

    consumer_id: CostsOf
    total_cost: Annotated[Money, Field(description="USD so far.", examples=[45.67])]
    currency: Currency
    days: list[DayCost]
    count: Count
