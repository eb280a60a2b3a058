"""What a consumer asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

from broker.model.words import KeyType, RetryScope, StoragePolicy, WorkloadType
from providers.base import LaunchMode


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

    @property
    def names_image(self) -> bool:
        """Whether it says what the machine is made with; else the provider chooses."""
        return bool(self.docker_image or self.model_id or self.template_hash_id)


@dataclass(frozen=True, slots=True)
class Confidential:
    """What a consumer sends along that may hold secrets: sealed at rest, gone with the session."""

    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    on_start_cmd: str | None = field(default=None, repr=False)
