"""How the broker and its marketplaces are, as it is answered; and the one shape of all errors."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from broker.api.shapes.words import Instant, Money, Provider, SessionId
from broker.usecases.doors import ProviderState
from providers.base import LaunchMode


class Services(TypedDict):
    """How the parts of the broker are."""

    lifecycle: Annotated[
        Literal["running", "stopped"],
        Field(description="`running` where the broker is well.", examples=["running"]),
    ]
    inventory: Annotated[
        str,
        Field(
            description="`ok`; `degraded`: some cannot be read; `unavailable`: none can.",
            examples=["ok"],
        ),
    ]
    ready: Annotated[
        Literal["true", "false"], Field(description="New sessions are taken.", examples=["true"])
    ]


class Health(TypedDict):
    """How the broker is."""

    status: Annotated[
        Literal["ok", "degraded", "unavailable"],
        Field(
            description=(
                "`degraded`: the broker works, and a person has to look at what `troubles` says; "
                "`unavailable` comes with 503."
            ),
            examples=["ok"],
        ),
    ]
    timestamp: Instant
    services: Services
    troubles: NotRequired[
        Annotated[
            list[str],
            Field(description="What does not work.", examples=[["the sweeper stands still"]]),
        ]
    ]


Unhealthy = Annotated[
    Health,
    Field(
        examples=[
            {
                "status": "unavailable",
                "timestamp": "2026-01-29T12:00:00.000Z",
                "services": {"lifecycle": "stopped", "inventory": "ok", "ready": "false"},
            }
        ]
    ),
]


class Readiness(TypedDict):
    """Whether new sessions are taken."""

    ready: Annotated[bool, Field(description="New sessions are taken.", examples=[True])]
    timestamp: Instant


Unready = Annotated[
    Readiness, Field(examples=[{"ready": False, "timestamp": "2026-01-29T12:00:00.000Z"}])
]


class Capabilities(TypedDict):
    """What a provider can do."""

    launch_modes: Annotated[list[LaunchMode], Field(examples=[["entrypoint", "ssh"]])]
    custom_image: Annotated[bool, Field(description="`docker_image`.", examples=[True])]
    environment: Annotated[bool, Field(description="`env`.", examples=[True])]
    on_start: Annotated[bool, Field(description="`on_start_cmd`.", examples=[True])]
    published_ports: Annotated[bool, Field(description="`exposed_ports`.", examples=[True])]
    templates: Annotated[bool, Field(description="`template_hash_id`.", examples=[True])]
    balance: Annotated[bool, Field(description="Tells what is left to spend.", examples=[True])]
    preserves_storage: Annotated[
        bool, Field(description="`storage_policy: preserve`.", examples=[False])
    ]
    watchdog: Annotated[bool, Field(description="`watchdog`.", examples=[False])]


class Machines(TypedDict):
    """The machines that an account holds; null: it could not be listed yet."""

    ours: Annotated[int | None, Field(description="That live sessions hold.", examples=[3])]
    orphaned: Annotated[int | None, Field(description="Ours, held by no session.", examples=[0])]
    foreign: Annotated[int | None, Field(description="Never touched.", examples=[1])]


class Coverage(TypedDict):
    """How much of a market was read."""

    complete: Annotated[bool, Field(description="All of it.", examples=[True])]
    detail: Annotated[
        str | None,
        Field(description="How much, in a sentence.", examples=["612 of about 2000 offers."]),
    ]
    dropped: Annotated[int, Field(description="Rows that could not be understood.", examples=[0])]


class FailingDestruction(TypedDict):
    """A machine that the marketplace does not destroy although it is asked again and again."""

    instance_id: Annotated[str, Field(description="The provider's.", examples=["30412345"])]
    session_id: Annotated[
        SessionId | None, Field(description="The session on its label, where it is known.")
    ]
    orphaned: Annotated[bool, Field(description="No session holds it.", examples=[False])]
    since: Annotated[Instant, Field(description="When the destruction was first asked for.")]
    tries: Annotated[int, Field(description="How often it failed.", examples=[14])]
    last_answer: Annotated[
        str,
        Field(description="What the marketplace said last.", examples=["vastai answers 500."]),
    ]


class Account(TypedDict):
    """One marketplace account."""

    name: Provider
    state: Annotated[ProviderState, Field(examples=["ready"])]
    reasons: Annotated[list[str], Field(description="Why it is not ready.", examples=[[]])]
    capabilities: Capabilities
    last_refresh: Annotated[Instant | None, Field(description="When its offers were last read.")]
    offers: Annotated[int, Field(description="Listed from it.", examples=[150])]
    coverage: Annotated[
        Coverage | None, Field(description="How much of its market they are; null: not read yet.")
    ]
    balance: Annotated[
        Money | None,
        Field(description="USD that can be spent; null: not known.", examples=[12.5]),
    ]
    balance_read_at: Annotated[Instant | None, Field(description="When the balance was read.")]
    machines: Machines
    draining: Annotated[
        bool,
        Field(
            description="Nothing new is rented there; `reasons` tell what is left.",
            examples=[False],
        ),
    ]
    console: Annotated[
        str | None,
        Field(
            description="Where a person sees its machines.",
            examples=["https://cloud.vast.ai/instances/"],
        ),
    ]
    failing_destructions: list[FailingDestruction]
    unreadable_labels: Annotated[
        int | None,
        Field(
            description=(
                "Of the foreign machines, those whose label has our mark and cannot be read; "
                "null: not known."
            ),
            examples=[0],
        ),
    ]


class Accounts(TypedDict):
    """Every configured marketplace account."""

    providers: list[Account]


class SweepAction(TypedDict):
    """One action of a sweep, and what became of it."""

    action: Annotated[
        str,
        Field(
            description="`end`, `resume`, `warn`, `mark-lost`, `lose` or `destroy`.",
            examples=["destroy"],
        ),
    ]
    session_id: Annotated[SessionId | None, Field(examples=[None])]
    provider: Annotated[str | None, Field(description="The marketplace.", examples=["vastai"])]
    instance_id: Annotated[
        str | None, Field(description="The provider's machine.", examples=["30412345"])
    ]
    reason: Annotated[str, Field(description="Why.", examples=["orphan"])]
    done: Annotated[bool, Field(description="False in a dry run.", examples=[True])]


class SweepReport(TypedDict):
    """What a sweep did, or would do."""

    dry_run: Annotated[bool, Field(description="Nothing was done.", examples=[True])]
    actions: list[SweepAction]
    unlisted: Annotated[
        dict[str, str],
        Field(description="Providers that could not be listed, and why.", examples=[{}]),
    ]
