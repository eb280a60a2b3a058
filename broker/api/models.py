"""What clients send, as models: they validate, and they describe themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, StrictBool

from broker.api.fields import (
    FEW,
    JSON_NUMBER,
    MOST_ENTRIES,
    SPELLED_WHOLE,
    Fraction,
    Name,
    Port,
    Price,
    PublicKey,
    Script,
    SpelledTruth,
    Text,
    Value,
    VariableName,
)
from broker.api.http import Query, RequestModel
from broker.errors import Detail
from broker.model import KeyType, RetryScope, Status, StoragePolicy, WorkloadType
from providers.base import INCLUDED_DISK_GB, LaunchMode

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
_IMAGES = ("docker_image", "model_id", "template_hash_id")
"""What the machine is made to run, in entrypoint mode."""


def exactly_one_of(given: Mapping[str, object], *names: str) -> Iterable[Detail]:
    """What is wrong where not exactly one of these fields is given."""
    present = [name for name in names if name in given]
    if not present:
        yield Detail(names[0], f"is required, or {' or '.join(names[1:])}")
    elif len(present) > 1:
        yield from (Detail(name, f"give only one of {', '.join(names)}") for name in present)


def _in_the_way_of_a_watchdog(given: Mapping[str, object]) -> Iterable[Detail]:
    """What keeps the broker from moving the deadline of a machine that ends itself."""
    if given.get("launch_mode", LaunchMode.SSH) != LaunchMode.SSH:
        yield Detail("watchdog", f"needs launch_mode {LaunchMode.SSH}")
    if given.get("managed_access") is False:
        yield Detail("watchdog", "needs managed_access: over it an extension moves the deadline")


def _apart(field: str, *others: str) -> list[JsonValue]:
    """JSON Schema for: this field or any of the others, not both."""
    return [
        {"properties": {field: {"type": "null"}}},
        {"properties": {name: {"type": "null"} for name in others}},
    ]


def one_of(*fields: str) -> list[JsonValue]:
    """JSON Schema for: exactly one of these fields."""
    return [
        {"required": [name], "properties": {name: {"not": {"type": "null"}}}} for name in fields
    ]


class SessionCreate(RequestModel):
    """A new session: which machine, for how long, for what."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": one_of("reservation_hours", "reservation_minutes"),
            "anyOf": _apart("offer_id", *_CRITERIA),
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
    reservation_hours: Annotated[int, Field(ge=1, le=12), JSON_NUMBER] | None = Field(
        None, description="How long, in hours."
    )
    reservation_minutes: Annotated[int, Field(ge=1, le=720), JSON_NUMBER] | None = Field(
        None, description="How long, in minutes; instead of reservation_hours."
    )
    gpu_type: Text | None = Field(None, description="Criterion: the GPU model.")
    gpu_count: Annotated[int, Field(ge=1, le=64), JSON_NUMBER] | None = Field(
        None, description="Criterion: at least this many GPUs."
    )
    min_vram: Annotated[int, Field(ge=1, le=4096), JSON_NUMBER] | None = Field(
        None, description="Criterion: GB of memory of one GPU."
    )
    max_price: Price | None = Field(
        None, description="Criterion: USD per hour, for the disk asked for."
    )
    location: Text | None = Field(
        None, description="Criterion: two letters are a country, more a part of the place."
    )
    min_reliability: Fraction | None = Field(None, description="Criterion: 0 to 1.")
    min_cuda: Annotated[float, Field(gt=0, le=100), JSON_NUMBER] | None = Field(
        None, description="Criterion: CUDA version."
    )
    provider: Text | None = Field(None, description="Criterion: the marketplace.")
    allow_unverified: StrictBool = Field(
        default=False, description="Let unverified and less reliable offers fit as well."
    )
    idle_threshold_minutes: Annotated[int, Field(ge=0, le=720), JSON_NUMBER] = Field(
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
    exposed_ports: Annotated[tuple[Port, ...], Field(max_length=MOST_ENTRIES), FEW] = Field(
        (), description="Ports inside the machine to publish."
    )
    disk_gb: Annotated[int, Field(ge=8, le=100_000), JSON_NUMBER] | None = Field(
        None,
        description=f"GB of disk; {INCLUDED_DISK_GB} if not given. It cannot be changed later.",
    )
    template_hash_id: Text | None = Field(None, description="The provider's template to use.")
    auto_retry: StrictBool = Field(
        default=False, description="Try other offers where one does not work."
    )
    max_retries: Annotated[int, Field(ge=1, le=5), JSON_NUMBER] = Field(
        3, description="How many other offers at most."
    )
    retry_scope: RetryScope = Field(RetryScope.SAME_GPU, description="Which offers may stand in.")
    ssh_public_key: PublicKey | None = Field(
        None, description="Your own public key; then no private key is made or returned."
    )
    ssh_key_type: KeyType = Field(KeyType.ED25519, description="The kind of key pair to make.")
    managed_access: StrictBool = Field(
        default=True, description="Let the broker's own key on the machine too."
    )
    ssh_timeout_minutes: Annotated[int, Field(ge=1, le=30), JSON_NUMBER] | None = Field(
        None, description="How long the machine may take until its access is proved."
    )
    env: Annotated[dict[VariableName, Value], Field(max_length=MOST_ENTRIES), FEW] = Field(
        default_factory=dict, description="Environment of the machine.", repr=False
    )
    on_start_cmd: Script | None = Field(
        None, description="Shell text to run when the machine has started.", repr=False
    )
    name: Text | None = Field(None, description="A name of your own.")
    labels: Annotated[dict[Text, Value], Field(max_length=MOST_ENTRIES), FEW] = Field(
        default_factory=dict, description="Labels of your own."
    )
    hard_max_override: Annotated[int, Field(ge=1, le=720), JSON_NUMBER] | None = Field(
        None, description="Another hard maximum for this session, in hours (administrators)."
    )
    watchdog: StrictBool = Field(
        default=False,
        description="A switch in the machine that ends it 10 minutes after `expires_at`, also "
        "without the broker. Needs `launch_mode` ssh and `managed_access`, over which an extension "
        "moves it.",
    )

    @classmethod
    def contradictions(cls, given: Mapping[str, object]) -> Iterable[Detail]:
        yield from exactly_one_of(given, "reservation_hours", "reservation_minutes")
        if "offer_id" in given:
            criteria = [name for name in _CRITERIA if name in given]
            for name in ["offer_id", *criteria] if criteria else []:
                yield Detail(name, "give either offer_id or criteria, not both")
        if given.get("launch_mode") == LaunchMode.ENTRYPOINT and given.keys().isdisjoint(_IMAGES):
            yield Detail("launch_mode", f"needs one of {', '.join(_IMAGES)}")
        if given.get("watchdog") is True:
            yield from _in_the_way_of_a_watchdog(given)


class SessionExtend(RequestModel):
    """More time for a session."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": one_of("additional_hours", "additional_minutes"),
            "examples": [{"additional_hours": 2}],
        }
    )

    additional_hours: Annotated[int, Field(ge=1, le=12), JSON_NUMBER] | None = Field(
        None, description="How many hours more."
    )
    additional_minutes: Annotated[int, Field(ge=1, le=720), JSON_NUMBER] | None = Field(
        None, description="How many minutes more; instead of additional_hours."
    )

    @classmethod
    def contradictions(cls, given: Mapping[str, object]) -> Iterable[Detail]:
        return exactly_one_of(given, "additional_hours", "additional_minutes")


class SessionRekey(RequestModel):
    """A fresh key for a running session."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ssh_key_type": "ed25519"}]})

    ssh_public_key: PublicKey | None = Field(
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

    token: Text | None = Field(None, description="The session_token of the creation.", repr=False)
    gpu_util: Annotated[float, Field(ge=0, le=100), JSON_NUMBER] | None = Field(
        None, description="GPU utilisation in per cent."
    )
    idle_seconds: Annotated[float, Field(ge=0, le=31_536_000), JSON_NUMBER] | None = Field(
        None, description="For how long nothing has been done."
    )


def _statuses(text: str) -> str:
    unknown = [word for word in text.split(",") if word not in set(Status)]
    if unknown:
        raise ValueError(f"must be a comma list of {', '.join(Status)}")
    return text


class SessionList(Query):
    """Which sessions to list."""

    consumer_id: Text | None = Field(None, description="Only this consumer's.")
    status: Annotated[str, AfterValidator(_statuses)] | None = Field(
        None,
        description="One status, or several with commas.",
        examples=["running,stopping"],
        json_schema_extra={"pattern": f"^({'|'.join(Status)})(,({'|'.join(Status)}))*$"},
    )
    provider: Text | None = Field(None, description="Only this provider's.")
    limit: Annotated[int, Field(ge=1, le=1000), SPELLED_WHOLE] | None = Field(
        None, description="Rows; all if not given."
    )
    offset: Annotated[int, Field(ge=0, le=2**31), SPELLED_WHOLE] = Field(
        0, description="Rows to leave out."
    )


class DiagnosticsQuery(Query):
    """Which sessions to look at closely."""

    any: SpelledTruth = Field(
        default=False, description="Sessions whose machine is still being made, too."
    )


class NoBody(RequestModel):
    """A route without a body."""
