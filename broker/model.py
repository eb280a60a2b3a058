"""The values that the broker decides with: frozen, free of I/O, the same words as in SQL and JSON.

Instants are aware UTC, durations `timedelta`, money `Decimal` USD.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from providers.base import Endpoint, LaunchMode, Offer


class Status(StrEnum):
    """What we last knew of a session. Only `decide.states` moves it."""

    PENDING = "pending"
    PROVISIONING = "provisioning"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


FINAL = frozenset({Status.STOPPED, Status.FAILED})
LIVE = frozenset(Status) - FINAL


class Wanted(StrEnum):
    """What was asked of a session."""

    RUNNING = "running"
    GONE = "gone"


class Reason(StrEnum):
    """Why an attempt failed or a session ended."""

    OFFER_GONE = "offer_gone"
    BOOT_TIMEOUT = "boot_timeout"
    BOOT_FAILED = "boot_failed"
    SSH_TIMEOUT = "ssh_timeout"
    ENDPOINT_TIMEOUT = "endpoint_timeout"
    WRONG_GPU = "wrong_gpu"
    HOST_KEY_CHANGED = "host_key_changed"
    PRICE_CHANGED = "price_changed"
    INSTANCE_LOST = "instance_lost"
    OUTCOME_UNKNOWN = "outcome_unknown"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    PROVIDER_REFUSED = "provider_refused"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    NO_OFFER_FITS = "no_offer_fits"
    EXPIRED = "expired"
    IDLE = "idle"
    HARD_MAXIMUM = "hard_maximum"
    DONE = "done"
    DELETED = "deleted"
    INTERNAL_ERROR = "internal_error"


class Outcome(StrEnum):
    """How an attempt came out; None while that is open."""

    RUNNING = "running"
    """Verified; its instance is in use."""
    REFUSED = "refused"
    """The provider made nothing."""
    UNKNOWN = "unknown"
    """A lost reply, and no instance found: a tombstone waits for a late arrival."""
    FAILED = "failed"
    """An instance was made, did not serve, and is proved gone."""
    ENDED = "ended"
    """Its instance served and is proved gone."""


class WorkloadType(StrEnum):
    """What the consumer says the machine is for."""

    LLM = "llm"
    LLM_VLLM = "llm_vllm"
    LLM_TGI = "llm_tgi"
    TRAINING = "training"
    BATCH = "batch"
    INTERACTIVE = "interactive"
    INFERENCE = "inference"
    SSH = "ssh"
    BENCHMARK = "benchmark"


class StoragePolicy(StrEnum):
    """What becomes of the disk when a session ends."""

    DESTROY = "destroy"
    PRESERVE = "preserve"


class RetryScope(StrEnum):
    """Which offers may stand in for one that failed."""

    SAME_GPU = "same_gpu"
    SAME_VRAM = "same_vram"
    ANY = "any"


class KeyType(StrEnum):
    """The kind of key pair made for a consumer."""

    ED25519 = "ed25519"
    RSA = "rsa"


@dataclass(frozen=True, slots=True)
class Criteria:
    """What an offer must have to fit. None is no condition; unknown never fits a condition."""

    gpu_type: str | None = None
    gpu_count: int | None = None
    """At least this many."""
    min_vram: int | None = None
    """Nominal GB of one GPU."""
    max_price: Decimal | None = None
    """USD per hour for the disk that is asked for."""
    location: str | None = None
    min_reliability: float | None = None
    min_cuda: float | None = None
    provider: str | None = None
    allow_unverified: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """What a consumer asked for, as validated; it never changes."""

    consumer_id: str
    workload_type: WorkloadType
    reservation: timedelta
    offer_id: str | None = None
    criteria: Criteria = Criteria()
    launch_mode: LaunchMode = LaunchMode.SSH
    docker_image: str | None = None
    model_id: str | None = None
    quantization: str | None = None
    exposed_ports: tuple[int, ...] = ()
    disk_gb: int = 50
    template_hash_id: str | None = None
    storage_policy: StoragePolicy = StoragePolicy.DESTROY
    idle_threshold: timedelta | None = None
    auto_retry: bool = False
    max_retries: int = 3
    retry_scope: RetryScope = RetryScope.SAME_GPU
    ssh_key_type: KeyType = KeyType.ED25519
    managed_access: bool = True
    ssh_timeout: timedelta | None = None
    hard_max_override: timedelta | None = None
    watchdog: bool = False
    name: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Confidential:
    """What a consumer sends along that may hold secrets: sealed at rest, gone with the session."""

    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    on_start_cmd: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Access:
    """Where a session's machine is reached, as far as that is known."""

    ssh: Endpoint | None = None
    ssh_user: str | None = None
    ports: Mapping[int, Endpoint] = field(default_factory=dict)
    """Port inside the machine -> where it is published."""
    api_endpoint: str | None = None
    known_hosts: tuple[str, ...] = ()
    """OpenSSH known_hosts lines: the host key pinned at the first login."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at turning an offer into a verified instance."""

    session_id: str
    n: int
    """1 to 9."""
    offer: Offer
    label: str
    price_per_hour: Decimal
    """For the disk asked for; what the provider really charges, once it says so."""
    started_at: datetime
    instance_id: str | None = None
    accepted_at: datetime | None = None
    """When the provider accepted the creation."""
    deadline_at: datetime | None = None
    """The one deadline of the attempt: acceptance to verified login."""
    unknown_since: datetime | None = None
    """Since when it is open whether an instance was made."""
    verified_at: datetime | None = None
    reason: Reason | None = None
    """Why it failed; set as soon as that is decided, before the instance is gone."""
    detail: str | None = None
    """The same as a sentence."""
    destroy_asked_at: datetime | None = None
    """The first attempt to destroy."""
    destroy_accepted_at: datetime | None = None
    """The provider's acceptance of the destruction."""
    gone_at: datetime | None = None
    """The instant of the proof that the instance is gone."""
    ended_at: datetime | None = None
    outcome: Outcome | None = None
    tombstone_until: datetime | None = None
    """Until when an instance that appears late under this label is buried at once."""

    @property
    def is_closed(self) -> bool:
        return self.ended_at is not None


@dataclass(frozen=True, slots=True)
class Session:
    """Our promise to one consumer: at most one instance at a time."""

    id: str
    request: Request
    status: Status
    wanted: Wanted
    created_at: datetime
    expires_at: datetime
    hard_max_at: datetime
    """No extension passes it."""
    label_deadline: datetime
    """What every label of this session says; the instance has no right to live after it."""
    public_key: str
    """The consumer's public key, an OpenSSH line."""
    token_digest: str
    """SHA-256 of the session token, hexadecimal."""
    offer: Offer
    """The offer of the current attempt."""
    price_per_hour: Decimal
    """Of the current attempt."""
    version: int = 0
    """Counts the writes; a writer that has an old one loses."""
    attempt: int = 1
    """The number of the current attempt."""
    instance_id: str | None = None
    """The provider's id of the current attempt's instance."""
    image: str | None = None
    access: Access = Access()
    reason: Reason | None = None
    """Why it ends or ended."""
    error: str | None = None
    """The same as a sentence, where something went wrong."""
    due_at: datetime | None = None
    """The instant at which the end became due."""
    running_at: datetime | None = None
    stopped_at: datetime | None = None
    """The instant of the proof that no machine is left."""
    lost_since: datetime | None = None
    """Since when the provider calls the machine lost, stopped or offline."""
    idle_since: datetime | None = None
    warned_for: datetime | None = None
    """The `expires_at` whose approach was already announced."""

    @property
    def is_final(self) -> bool:
        return self.status in FINAL


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, written in the transaction of its change."""

    type: str
    """For example `session.running`."""
    created_at: datetime
    session_id: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    """JSON values that explain it: reasons, figures, evidence. Never a secret."""
    id: int | None = None
    """Given by the store, ascending."""


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that a consumer should know, though the request succeeded."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Accrual:
    """A stretch of time that the provider bills to one attempt at one rate."""

    session_id: str
    attempt: int
    consumer_id: str
    provider: str
    gpu_type: str
    price_per_hour: Decimal
    begins_at: datetime
    ends_at: datetime | None = None
    """None while the meter runs."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An offer that did not become a working machine: remembered to pass it over."""

    offer_id: str
    provider: str
    gpu_type: str
    reason: Reason
    created_at: datetime
    machine_id: str | None = None
    location: str | None = None


@dataclass(frozen=True, slots=True)
class Sighting:
    """An instance with our label that no live session holds, as this database has seen it."""

    provider: str
    instance_id: str
    label: str
    first_seen_at: datetime
    last_seen_at: datetime
    count: int
    destroy_asked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Holder:
    """What a session's row says about the instances that carry its labels."""

    session_id: str
    status: Status
    attempt: int
    """The number of the current attempt: only its instance can be held."""
    instance_id: str | None
    """Of the current attempt; None while it is open whether one was made."""
    is_closed: bool
    """The current attempt is over: it holds nothing any more."""
    tombstones: Mapping[int, datetime] = field(default_factory=dict)
    """Attempt -> until when an instance that appears late under its label is buried."""
    gone_at: Mapping[int, datetime] = field(default_factory=dict)
    """Attempt -> when its instance was proved gone: older lists may still show it."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """That a request with an Idempotency-Key was carried out, and on which session."""

    key: str
    """As the client made it up."""
    fingerprint: str
    """Of what was asked: the same key may not ask for anything else."""
    session_id: str
    created_at: datetime
    answer: Mapping[str, Any] = field(default_factory=dict)
    """JSON values that a repeated answer needs and that the session does not keep. No secrets."""


@dataclass(frozen=True, slots=True)
class Change:
    """Everything that one transaction writes about one session."""

    name: str
    """What the change does, in one word or two joined by a hyphen: `record`, `accept`, `verify`."""
    session: Session
    """The new value; its `version` is the one that was read."""
    attempt: Attempt | None = None
    """Inserted or replaced."""
    events: tuple[Event, ...] = ()
    accrual: Accrual | None = None
    """Opened, or closed: the open accrual of the same attempt is replaced."""
    failure: Failure | None = None
    forget_confidential: bool = False
    """The sealed environment is not needed any more."""
    receipt: Receipt | None = None
    """Of the request that asked for it."""


@dataclass(frozen=True, slots=True)
class Watch:
    """The few columns of a live session that a sweep decides with."""

    id: str
    version: int
    status: Status
    wanted: Wanted
    provider: str
    attempt: int
    instance_id: str | None
    accepted_at: datetime | None
    expires_at: datetime
    hard_max_at: datetime
    idle_threshold: timedelta | None
    managed_access: bool
    idle_since: datetime | None
    lost_since: datetime | None
    warned_for: datetime | None
