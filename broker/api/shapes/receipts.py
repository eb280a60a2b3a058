"""How a session ended, as it is answered."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from broker.api.shapes.words import ConsumerId, Instant, Money, OfferId, Provider, SessionId
from broker.model import Outcome, Reason, Status, Witness

BilledSeconds = Annotated[
    Decimal, Field(description="How long the meter ran.", examples=[3598.204117])
]
Billed = Annotated[Money, Field(description="USD, as the costs tell it.", examples=[0.459771])]
DestroyAskedAt = Annotated[
    Instant | None,
    Field(
        description="The first call to destroy; null where the machine was gone before.",
        examples=["2026-01-29T14:00:00.012Z"],
    ),
]
DestroyAcceptedAt = Annotated[
    Instant | None,
    Field(description="The provider's word.", examples=["2026-01-29T14:00:00.204Z"]),
]
ProvedGoneAt = Annotated[
    Instant | None,
    Field(
        description="The second observation; null where there was no machine.",
        examples=["2026-01-29T14:00:00.431Z"],
    ),
]


class Observation(TypedDict):
    """The provider did not have the machine any more."""

    observed_at: Annotated[Instant, Field(examples=["2026-01-29T14:00:00.311Z"])]
    by: Annotated[
        Witness | None,
        Field(description="How it was asked; null where that was not kept.", examples=["lookup"]),
    ]


class MachineReceipt(TypedDict):
    """What became of one attempt."""

    n: Annotated[int, Field(description="1 to 9.", examples=[1])]
    machine_made: Annotated[
        bool, Field(description="False: this attempt never had a machine.", examples=[True])
    ]
    instance_id: Annotated[
        str | None, Field(description="The provider's machine.", examples=["30412345"])
    ]
    label: Annotated[
        str,
        Field(
            description="The mark that the machine carried.",
            examples=["gpub-4f2k9qzw-abc234defg-29926809-1"],
        ),
    ]
    offer_id: OfferId
    provider: Provider
    outcome: Annotated[Outcome | None, Field(description="How it came out.", examples=["ended"])]
    reason: Annotated[Reason | None, Field(description="Why it failed.", examples=[None])]
    started_at: Instant
    accepted_at: Annotated[
        Instant | None,
        Field(description="Since when it is billed.", examples=["2026-01-29T13:00:02.000Z"]),
    ]
    due_at: Annotated[
        Instant | None,
        Field(
            description="When its end was due: its failure, or the end of the session. Null where "
            "there was no machine, or that was not kept.",
            examples=["2026-01-29T14:00:00.000Z"],
        ),
    ]
    destroy_asked_at: DestroyAskedAt
    destroy_accepted_at: DestroyAcceptedAt
    observations: list[Observation]
    proved_gone_at: ProvedGoneAt
    price_per_hour: Annotated[Money, Field(description="USD.", examples=[0.46])]
    billed_seconds: BilledSeconds
    billed: Billed


class SessionReceipt(TypedDict):
    """How a session ended; the proof is that of the last machine it had."""

    session_id: SessionId
    consumer_id: ConsumerId
    provider: Provider
    status: Annotated[Status, Field(examples=["stopped"])]
    reason: Annotated[Reason | None, Field(description="Why it ended.", examples=["expired"])]
    error: Annotated[str | None, Field(description="The same as a sentence.", examples=[None])]
    created_at: Instant
    running_at: Annotated[
        Instant | None,
        Field(description="When its access was proved.", examples=["2026-01-29T13:01:30.000Z"]),
    ]
    due_at: Annotated[
        Instant | None,
        Field(
            description="When its end was due; that of its last machine, where it had one.",
            examples=["2026-01-29T14:00:00.000Z"],
        ),
    ]
    destroy_asked_at: DestroyAskedAt
    destroy_accepted_at: DestroyAcceptedAt
    observations: Annotated[
        list[Observation], Field(description="Two, unless there was no machine.")
    ]
    proved_gone_at: ProvedGoneAt
    reap_delay_seconds: Annotated[
        Decimal | None,
        Field(description="From `due_at` to `proved_gone_at`.", examples=[0.431]),
    ]
    billed_seconds: BilledSeconds
    billed: Billed
    machines: Annotated[list[MachineReceipt], Field(description="One for each attempt.")]
