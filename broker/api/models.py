"""What clients send, as models: they validate, and they describe themselves."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    JsonValue,
    StrictBool,
    StrictInt,
    StrictStr,
    model_validator,
)

from broker.api.http import Query, RequestModel
from broker.model import KeyType, RetryScope, Status, StoragePolicy, WorkloadType
from providers.base import INCLUDED_DISK_GB, LaunchMode

LONGEST_TEXT = 128
LONGEST_SCRIPT = 16_384
MOST_ENTRIES = 64


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must hold printable characters only")
    return text


def _script(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not hold a NUL character")
    return text


Text = Annotated[
    StrictStr, Field(min_length=1, max_length=LONGEST_TEXT), AfterValidator(_printable)
]
Name = Annotated[StrictStr, Field(min_length=1, max_length=255), AfterValidator(_printable)]
Script = Annotated[
    StrictStr, Field(min_length=1, max_length=LONGEST_SCRIPT), AfterValidator(_script)
]
Value = Annotated[StrictStr, Field(max_length=4096), AfterValidator(_script)]
VariableName = Annotated[
    StrictStr, Field(max_length=LONGEST_TEXT, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
]
Port = Annotated[StrictInt, Field(ge=1, le=65535)]
Price = Annotated[Decimal, Field(gt=0, le=10_000)]
Fraction = Annotated[float, Field(ge=0, le=1)]

_CRITERIA = (
    "gpu_type",
    "gpu_count",
    "min_vram",
    "max_price",
    "location",
    "min_reliability",
    "min_cuda",
    "provider",
)


def _one_of(*fields: str) -> list[JsonValue]:
    """JSON Schema for: exactly one of these fields."""
    return [
        {"required": [name], "properties": {name: {"not": {"type": "null"}}}} for name in fields
    ]


class SessionCreate(RequestModel):
    """A new session: which machine, for how long, for what."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": _one_of("reservation_hours", "reservation_minutes"),
            "examples": [
                {
                    "consumer_id": "my-application",
                    "offer_id": "vastai-12345",
                    "workload_type": "llm",
                    "reservation_hours": 2,
                    "idle_threshold_minutes": 30,
                    "storage_policy": "destroy",
                    "disk_gb": 100,
                    "template_hash_id": "a8a44c7363cbca20056020397e3bf072",
                },
                {
                    "consumer_id": "my-application",
                    "workload_type": "training",
                    "reservation_minutes": 90,
                    "gpu_type": "RTX 4090",
                    "max_price": 0.6,
                    "auto_retry": True,
                },
            ],
        }
    )

    consumer_id: Text = Field(description="Who the session is for.", examples=["my-application"])
    workload_type: WorkloadType = Field(description="What the machine is for.", examples=["llm"])
    offer_id: Text | None = Field(None, description="The offer to rent; or give criteria instead.")
    reservation_hours: Annotated[StrictInt, Field(ge=1, le=12)] | None = Field(
        None, description="How long, in hours."
    )
    reservation_minutes: Annotated[StrictInt, Field(ge=1, le=720)] | None = Field(
        None, description="How long, in minutes; instead of reservation_hours."
    )
    gpu_type: Text | None = Field(None, description="Criterion: the GPU model.")
    gpu_count: Annotated[StrictInt, Field(ge=1, le=64)] | None = Field(
        None, description="Criterion: at least this many GPUs."
    )
    min_vram: Annotated[StrictInt, Field(ge=1, le=4096)] | None = Field(
        None, description="Criterion: GB of memory of one GPU."
    )
    max_price: Price | None = Field(
        None, description="Criterion: USD per hour, for the disk asked for."
    )
    location: Text | None = Field(
        None, description="Criterion: two letters are a country, more a part of the place."
    )
    min_reliability: Fraction | None = Field(None, description="Criterion: 0 to 1.")
    min_cuda: Annotated[float, Field(gt=0, le=100)] | None = Field(
        None, description="Criterion: CUDA version."
    )
    provider: Text | None = Field(None, description="Criterion: the marketplace.")
    allow_unverified: StrictBool = Field(
        default=False, description="Let unverified and less reliable offers fit as well."
    )
    idle_threshold_minutes: Annotated[StrictInt, Field(ge=0, le=720)] = Field(
        0, description="End the session after this long without work; 0 is never."
    )
    storage_policy: StoragePolicy = Field(
        StoragePolicy.DESTROY, description="What becomes of the disk at the end."
    )
    launch_mode: LaunchMode = Field(
        LaunchMode.SSH, description="Whether a login or a published port is promised."
    )
    docker_image: Name | None = Field(None, description="The image to run.")
    model_id: Name | None = Field(None, description="The model to serve (vLLM, else TGI).")
    quantization: Text | None = Field(None, description="How the model is quantized.")
    exposed_ports: Annotated[tuple[Port, ...], Field(max_length=MOST_ENTRIES)] = Field(
        (), description="Ports inside the machine to publish."
    )
    disk_gb: Annotated[StrictInt, Field(ge=8, le=100_000)] | None = Field(
        None,
        description=f"GB of disk; {INCLUDED_DISK_GB} if not given. It cannot be changed later.",
    )
    template_hash_id: Text | None = Field(None, description="The provider's template to use.")
    auto_retry: StrictBool = Field(
        default=False, description="Try other offers where one does not work."
    )
    max_retries: Annotated[StrictInt, Field(ge=1, le=5)] = Field(
        3, description="How many other offers at most."
    )
    retry_scope: RetryScope = Field(RetryScope.SAME_GPU, description="Which offers may stand in.")
    ssh_public_key: Annotated[StrictStr, Field(max_length=LONGEST_SCRIPT)] | None = Field(
        None, description="Your own public key; then no private key is made or returned."
    )
    ssh_key_type: KeyType = Field(KeyType.ED25519, description="The kind of key pair to make.")
    managed_access: StrictBool = Field(
        default=True, description="Let the broker's own key on the machine too."
    )
    ssh_timeout_minutes: Annotated[StrictInt, Field(ge=1, le=30)] | None = Field(
        None, description="How long the machine may take until its access is proved."
    )
    env: Annotated[dict[VariableName, Value], Field(max_length=MOST_ENTRIES)] = Field(
        default_factory=dict, description="Environment of the machine.", repr=False
    )
    on_start_cmd: Script | None = Field(
        None, description="Shell text to run when the machine has started.", repr=False
    )
    name: Text | None = Field(None, description="A name of your own.")
    labels: Annotated[dict[Text, Value], Field(max_length=MOST_ENTRIES)] = Field(
        default_factory=dict, description="Labels of your own."
    )
    hard_max_override: Annotated[StrictInt, Field(ge=1, le=720)] | None = Field(
        None, description="Another hard maximum for this session, in hours (administrators)."
    )
    watchdog: StrictBool = Field(
        default=False, description="A switch in the machine that ends it without the broker."
    )

    @model_validator(mode="after")
    def _exactly_one_duration(self) -> Self:
        if (self.reservation_hours is None) == (self.reservation_minutes is None):
            raise ValueError("give either reservation_hours or reservation_minutes")
        return self

    @model_validator(mode="after")
    def _offer_or_criteria(self) -> Self:
        given = [name for name in _CRITERIA if getattr(self, name) is not None]
        if self.offer_id is not None and given:
            raise ValueError(f"give either offer_id or criteria ({', '.join(given)}), not both")
        return self


class SessionExtend(RequestModel):
    """More time for a session."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": _one_of("additional_hours", "additional_minutes"),
            "examples": [{"additional_hours": 2}],
        }
    )

    additional_hours: Annotated[StrictInt, Field(ge=1, le=12)] | None = Field(
        None, description="How many hours more."
    )
    additional_minutes: Annotated[StrictInt, Field(ge=1, le=720)] | None = Field(
        None, description="How many minutes more; instead of additional_hours."
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.additional_hours is None) == (self.additional_minutes is None):
            raise ValueError("give either additional_hours or additional_minutes")
        return self


class SessionRekey(RequestModel):
    """A fresh key for a running session."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ssh_key_type": "ed25519"}]})

    ssh_public_key: Annotated[StrictStr, Field(max_length=LONGEST_SCRIPT)] | None = Field(
        None, description="Your own public key; then no private key is made or returned."
    )
    ssh_key_type: KeyType | None = Field(
        None, description="The kind of key pair to make; that of the session if not given."
    )


class Heartbeat(RequestModel):
    """A word from inside a machine: how busy it is."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "token": "b1946ac92492d2347c6235b8d26bf2f5",
                    "gpu_util": 87.5,
                    "idle_seconds": 0,
                }
            ]
        }
    )

    token: Annotated[StrictStr, Field(max_length=LONGEST_TEXT)] | None = Field(
        None, description="The session_token of the creation.", repr=False
    )
    gpu_util: Annotated[float, Field(ge=0, le=100)] | None = Field(
        None, description="GPU utilisation in per cent."
    )
    idle_seconds: Annotated[float, Field(ge=0, le=31_536_000)] | None = Field(
        None, description="For how long nothing has been done."
    )


def _statuses(text: str) -> str:
    unknown = [word for word in text.split(",") if word not in set(Status)]
    if unknown:
        raise ValueError(f"must be a comma list of {', '.join(Status)}")
    return text


class SessionList(Query):
    """Which sessions to list."""

    consumer_id: Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT)] | None = Field(
        None, description="Only this consumer's."
    )
    status: Annotated[str, AfterValidator(_statuses)] | None = Field(
        None, description="One status, or several with commas.", examples=["running,stopping"]
    )
    provider: Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT)] | None = Field(
        None, description="Only this provider's."
    )
    limit: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None, description="Rows; all if not given."
    )
    offset: Annotated[int, Field(ge=0, le=2**31)] = Field(0, description="Rows to leave out.")


class NoQuery(Query):
    """A route without parameters."""


class NoBody(RequestModel):
    """A route without a body."""
