"""The settings: every key with its type, its default and the bounds of its value.

`config.example.yaml` says for people what each key is for.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from broker.config.fields import (
    Count,
    Dollars,
    Duration,
    FilePath,
    Hours,
    HttpUrl,
    Interval,
    Name,
    Pace,
    Percent,
    Secret,
    database_file,
    parse_database_url,
    parse_list,
    parse_word,
)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ServerSettings(_Section):
    """Where the API listens."""

    host: Name = "127.0.0.1"
    port: Annotated[Count, Field(ge=0, le=65535)] = 8080
    """0 takes any free port."""
    allow_open: bool = False

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the API."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False


class DatabaseSettings(_Section):
    """Where sessions are remembered."""

    url: Annotated[str, AfterValidator(parse_database_url)] = "./data/gpu-broker.db"


class LoggingSettings(_Section):
    """What is logged, and in which form."""

    level: Annotated[
        Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(parse_word)
    ] = "info"
    format: Annotated[Literal["text", "json"] | None, BeforeValidator(parse_word)] = None
    """None: text on a terminal, else json."""


class LifecycleSettings(_Section):
    """How sessions are looked after, and when machines without one are destroyed."""

    deployment_id: Name | None = None
    """None: made at the first start."""
    check_interval: Interval = timedelta(seconds=5)
    reconciliation_interval: Interval = timedelta(minutes=1)
    orphan_grace_period: Duration = timedelta(minutes=5)
    hard_max_hours: Hours = Decimal(12)
    price_tolerance: Percent = Decimal("0.05")
    lost_after: Duration = timedelta(minutes=2)
    idle_policy: Annotated[Literal["end", "observe"], BeforeValidator(parse_word)] = "end"

    @property
    def hard_max(self) -> timedelta:
        """The longest total reservation without an override."""
        return timedelta(microseconds=int(self.hard_max_hours * 3_600_000_000))

    @property
    def orphan_grace_is_explicit(self) -> bool:
        """Whether somebody set the grace: then it also binds machines older than the database."""
        return "orphan_grace_period" in self.model_fields_set


class InventorySettings(_Section):
    """How fresh offers must be."""

    cache_ttl: Duration = timedelta(seconds=60)
    backoff_ttl: Duration = timedelta(minutes=5)


class SshSettings(_Section):
    """How machines are verified."""

    verify_timeout: Interval = timedelta(minutes=15)
    check_interval: Interval = timedelta(seconds=1)


class ProviderSettings(_Section):
    """What the sections of all marketplaces have."""

    credential: ClassVar[str | None] = None
    """The key without which its account cannot be spoken to; None where it needs none."""

    enabled: bool = True

    @property
    def has_credentials(self) -> bool:
        """Whether its account can be spoken to."""
        return self.credential is None or getattr(self, self.credential) is not None


class SimulatorSettings(ProviderSettings):
    """The simulated market."""

    enabled: bool = False
    boot_time: Duration = timedelta(seconds=3)
    drift: Duration = timedelta(seconds=30)
    seed: Count = 1
    offers: Annotated[Count, Field(ge=1, le=100_000)] = 320
    ssh: bool = True
    market_file: FilePath | None = None
    faults: Annotated[tuple[Mapping[str, Any], ...], BeforeValidator(parse_list)] = ()


class VastaiSettings(ProviderSettings):
    """The Vast.ai account."""

    credential: ClassVar[str | None] = "api_key"

    api_key: Secret = None
    api_url: HttpUrl = "https://console.vast.ai"
    pace: Pace = 1.0
    searches_per_day: Annotated[Count, Field(ge=24, le=1_000_000)] = 3_000


class TensordockSettings(ProviderSettings):
    """The TensorDock account."""

    credential: ClassVar[str | None] = "api_token"

    api_token: Secret = None
    auth_id: Secret = None
    api_url: HttpUrl = "https://dashboard.tensordock.com/api/v2"
    default_image: Name = "ubuntu2404"
    pace: Pace = 1.0
    balance_floor: Dollars = Decimal(5)


class ProvidersSettings(_Section):
    """The marketplaces."""

    simulator: SimulatorSettings = SimulatorSettings()
    vastai: VastaiSettings = VastaiSettings()
    tensordock: TensordockSettings = TensordockSettings()


class Settings(_Section):
    """Everything that can be set; frozen."""

    server: ServerSettings = ServerSettings()
    database: DatabaseSettings = DatabaseSettings()
    data_dir: FilePath = Field(
        default_factory=lambda earlier: database_file(earlier["database"].url).parent
    )
    """The broker's keys, its deployment id and the simulator's account."""
    logging: LoggingSettings = LoggingSettings()
    lifecycle: LifecycleSettings = LifecycleSettings()
    inventory: InventorySettings = InventorySettings()
    ssh: SshSettings = SshSettings()
    providers: ProvidersSettings = ProvidersSettings()

    @property
    def database_path(self) -> Path:
        """The SQLite file, absolute."""
        return database_file(self.database.url)

    @property
    def enabled_providers(self) -> tuple[str, ...]:
        """The names of the marketplaces that something new may be rented from."""
        return tuple(name for name in self.accounts if self.provider(name).enabled)

    @property
    def accounts(self) -> tuple[str, ...]:
        """The names of those whose accounts can be spoken to, the simulated one last."""
        found = [name for name, section in self.providers if section.has_credentials]
        return tuple(sorted(found, key=lambda name: self.provider(name).credential is None))

    def provider(self, name: str) -> ProviderSettings:
        """The section of one marketplace."""
        section: ProviderSettings = getattr(self.providers, name)
        return section

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret in clear, for the log to mask."""
        values = (value for _, section in self.providers for _, value in section)
        return tuple(value.get_secret_value() for value in values if isinstance(value, SecretStr))
