"""The words that the broker decides with, the same in SQL and JSON."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """What we last knew of a session."""

    # Only `decide.states` moves it.

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
    GPU_RUNTIME_BROKEN = "gpu_runtime_broken"
    IMAGE_UNAVAILABLE = "image_unavailable"
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
    EXPIRED = "expired"
    IDLE = "idle"
    HARD_MAXIMUM = "hard_maximum"
    DONE = "done"
    DELETED = "deleted"
    INTERNAL_ERROR = "internal_error"


class Outcome(StrEnum):
    """How an attempt came out."""

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


class Witness(StrEnum):
    """Who said that an instance is gone: how the provider was asked."""

    LIST = "list"
    """A complete list of the account was without it."""
    LOOKUP = "lookup"
    """Asked for it alone, the provider answered that there is no such instance."""


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
