"""Sessions and what is done with them, as they are answered."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from broker.api.shapes.market import Warned
from broker.api.shapes.words import (
    ConsumerId,
    Count,
    GpuCount,
    GpuType,
    Image,
    Instant,
    Location,
    Message,
    Money,
    OfferId,
    PrivateKey,
    Provider,
    SessionId,
    SshHost,
    SshPort,
    SshUser,
    TemplateId,
    Total,
)
from broker.model import Outcome, Reason, Status, StoragePolicy, WorkloadType
from providers.base import LaunchMode


class Attempt(TypedDict):
    """One try at turning an offer into a verified machine."""

    n: Annotated[int, Field(description="1 to 9.", examples=[1])]
    offer_id: OfferId
    provider: Provider
    price_per_hour: Annotated[Money, Field(description="USD.", examples=[0.46])]
    instance_id: Annotated[
        str | None, Field(description="The provider's machine.", examples=["30412345"])
    ]
    started_at: Instant
    ended_at: Annotated[Instant | None, Field(description="Null while it lasts.", examples=[None])]
    outcome: Annotated[
        Outcome | None, Field(description="Null while that is open.", examples=["running"])
    ]
    reason: Annotated[Reason | None, Field(description="Why it failed.", examples=[None])]


class RequestedSession(TypedDict):
    """What the consumer asked for; the reservation with its extensions."""

    consumer_id: ConsumerId
    name: Annotated[str | None, Field(description="Yours.", examples=["nightly"])]
    labels: Annotated[dict[str, str], Field(description="Yours.", examples=[{"team": "search"}])]
    workload_type: Annotated[WorkloadType, Field(examples=["llm"])]
    launch_mode: Annotated[LaunchMode, Field(examples=["ssh"])]
    docker_image: Annotated[str | None, Field(description="As asked for.", examples=[None])]
    model_id: Annotated[str | None, Field(description="The model to serve.", examples=[None])]
    quantization: Annotated[str | None, Field(description="Of the model.", examples=[None])]
    exposed_ports: Annotated[list[int], Field(description="As asked for.", examples=[[8000]])]
    template_hash_id: Annotated[TemplateId | None, Field(examples=[None])]
    storage_policy: Annotated[StoragePolicy, Field(examples=["destroy"])]
    managed_access: Annotated[
        bool, Field(description="The broker's own key is there too.", examples=[True])
    ]
    reservation_hours: Annotated[float, Field(description="May be a fraction.", examples=[2])]
    reservation_minutes: Annotated[int, Field(description="The same.", examples=[120])]
    idle_threshold_minutes: Annotated[
        int, Field(description="Ended after this long without work; 0 is never.", examples=[30])
    ]


class RentedMachine(TypedDict):
    """What was rented, and where it is reached; null until known."""

    provider: Provider
    offer_id: OfferId
    provider_instance_id: Annotated[
        str | None, Field(description="The provider's machine.", examples=["30412345"])
    ]
    gpu_type: GpuType
    gpu_count: GpuCount
    location: Location
    disk_gb: Annotated[
        int,
        Field(description="GB of disk: as asked for, or the least of the offer.", examples=[100]),
    ]
    image: Annotated[Image | None, Field(examples=["nvidia/cuda:12.8.1-devel-ubuntu24.04"])]
    ssh_host: SshHost
    ssh_port: SshPort
    ssh_user: SshUser
    known_hosts: Annotated[
        list[str],
        Field(
            description="OpenSSH lines: the host key that was pinned at the first login.",
            examples=[["[203.0.113.7]:22 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI..."]],
        ),
    ]
    api_endpoint: Annotated[
        str | None,
        Field(description="The published port, in entrypoint mode.", examples=[None]),
    ]
    ports: Annotated[
        dict[str, int],
        Field(
            description="Port in the machine -> where it is published.", examples=[{"8000": 41234}]
        ),
    ]


class Session(RequestedSession, RentedMachine):
    """A promise to one consumer: at most one machine at a time."""

    id: SessionId
    status: Annotated[Status, Field(examples=["running"])]
    status_reason: Annotated[
        Reason | None, Field(description="Why it ends or ended.", examples=[None])
    ]
    error: Annotated[str | None, Field(description="The same as a sentence.", examples=[None])]
    idle_since: Annotated[
        Instant | None, Field(description="Null while it works.", examples=[None])
    ]
    price_per_hour: Annotated[
        Money, Field(description="USD, for the disk asked for.", examples=[0.46])
    ]
    estimated_cost: Annotated[
        Money, Field(description="USD until the end of the lease.", examples=[0.92])
    ]
    accrued_cost: Annotated[Money, Field(description="USD so far.", examples=[0.23])]
    created_at: Instant
    expires_at: Annotated[
        Instant,
        Field(description="The end of the reservation.", examples=["2026-01-29T14:00:00.000Z"]),
    ]
    held_until: Annotated[
        Instant | None,
        Field(
            description=(
                "Until when an operator keeps the broker from ending it by itself, and in the "
                "past once that is over; null where nobody does."
            ),
            examples=[None],
        ),
    ]
    hold_reason: Annotated[str | None, Field(description="The operator's words.", examples=[None])]
    running_at: Annotated[
        Instant | None,
        Field(description="When its access was proved.", examples=["2026-01-29T12:01:30.000Z"]),
    ]
    stopped_at: Annotated[
        Instant | None, Field(description="When no machine was proved left.", examples=[None])
    ]
    attempts: list[Attempt]


class CreatedSession(TypedDict):
    """A new session with its secrets, which are told once."""

    session: Session
    ssh_private_key: PrivateKey
    session_token: Annotated[
        str | None,
        Field(
            description="For heartbeats from inside the machine.", examples=["b1946ac92492d2347c62"]
        ),
    ]
    retries_attempted: Annotated[
        int, Field(description="Offers that were tried before this one.", examples=[0])
    ]
    warnings: list[Warned]


class Sessions(TypedDict):
    """Sessions, the newest first."""

    sessions: list[Session]
    count: Count
    total: Total


class EndedSession(TypedDict):
    """The session is over, and no machine is left."""

    message: Annotated[Message, Field(examples=["session destroyed"])]
    session_id: SessionId


class EndingSession(EndedSession):
    """The machine is not proved gone yet; it goes on by itself."""

    status: Annotated[Status, Field(examples=["stopping"])]


class DoneSession(TypedDict):
    """The session is being ended."""

    message: Annotated[Message, Field(examples=["session shutdown initiated"])]
    session_id: SessionId


class ExtendedSession(TypedDict):
    """The session lasts longer."""

    message: Annotated[Message, Field(examples=["session extended"])]
    session_id: SessionId
    new_expires_at: Annotated[Instant, Field(examples=["2026-01-29T16:00:00.000Z"])]


class HeldSession(TypedDict):
    """The broker does not end the session by itself."""

    message: Annotated[Message, Field(examples=["session held"])]
    session_id: SessionId
    held_until: Annotated[
        Instant | None, Field(description="Until then.", examples=["2026-01-29T16:00:00.000Z"])
    ]
    hold_reason: Annotated[
        str | None, Field(description="Yours.", examples=["The run is nearly done."])
    ]


class ReleasedSession(TypedDict):
    """The session is not held."""

    message: Annotated[Message, Field(examples=["session released"])]
    session_id: SessionId
    status: Annotated[
        Status, Field(description="`stopping` where only the hold kept it.", examples=["running"])
    ]


class RekeyedSession(TypedDict):
    """A fresh key is on the machine; the one before it stopped working."""

    message: Annotated[Message, Field(examples=["session rekeyed"])]
    session_id: SessionId
    ssh_private_key: PrivateKey
    ssh_public_key: Annotated[
        str,
        Field(
            description="The key that the machine takes now.",
            examples=["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI..."],
        ),
    ]


class Diagnostics(TypedDict):
    """A closer look at a running session."""

    session_id: SessionId
    status: Annotated[Status, Field(examples=["running"])]
    provider: Provider
    gpu_type: GpuType
    gpu_count: GpuCount
    ssh_host: SshHost
    ssh_port: SshPort
    ssh_user: SshUser
    launch_mode: Annotated[LaunchMode, Field(examples=["ssh"])]
    api_endpoint: Annotated[str, Field(description="Empty where there is none.", examples=[""])]
    created_at: Instant
    expires_at: Annotated[Instant, Field(examples=["2026-01-29T14:00:00.000Z"])]
    uptime: Annotated[str, Field(description="For people.", examples=["1h 30m"])]
    uptime_seconds: Annotated[int, Field(description="Since it runs.", examples=[5400])]
    time_to_expiry: Annotated[
        str, Field(description="For people; `expired` when it is over.", examples=["30m"])
    ]
    seconds_to_expiry: Annotated[int, Field(description="Negative when over.", examples=[1800])]
    ssh_available: Annotated[bool, Field(description="It has an address.", examples=[True])]
    note: Annotated[
        Message, Field(examples=["Full SSH diagnostics require client-side SSH access."])
    ]


class Event(TypedDict):
    """One entry of a session's history."""

    id: Annotated[int | None, Field(description="Ascending.", examples=[17])]
    type: Annotated[str, Field(description="What happened.", examples=["session.running"])]
    created_at: Instant
    data: Annotated[
        dict[str, object],
        Field(description="What explains it.", examples=[{"gpu_type": "RTX 4090"}]),
    ]


class Events(TypedDict):
    """The history of a session, the oldest first."""

    events: list[Event]
    count: Count


class Idleness(TypedDict):
    """What the heartbeat told."""

    session_id: SessionId
    idle_since: Annotated[
        Instant | None, Field(description="Null while it works.", examples=[None])
    ]
