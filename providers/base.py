"""The port: what every marketplace adapter promises, and the values that cross it.

An adapter is five calls. It keeps no state that a restart may lose, reads no clock
(a `now` callable is handed to it), and knows nothing of sessions: it sees offers,
instances and labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Protocol, runtime_checkable

INCLUDED_DISK_GB = 50
"""The disk that the price of every listed offer includes, in GB."""


WATCHDOG_FILE = ".gpu-broker-deadline"
"""In the home of a machine with a watchdog: its last second, in seconds since the epoch."""


class LaunchMode(StrEnum):
    """What a launched machine promises to its consumer."""

    SSH = "ssh"
    ENTRYPOINT = "entrypoint"


class BootFailure(StrEnum):
    """Why a machine will never run, as far as the provider tells."""

    HOST = "host"
    """The host could not start it: another one may."""
    GPU_RUNTIME = "gpu_runtime"
    """The host cannot give its GPUs to machines."""
    IMAGE = "image"
    """The image cannot be had: no other offer helps."""


class InstanceStatus(StrEnum):
    """What the provider says of an instance, in one vocabulary for all providers."""

    STARTING = "starting"
    """Accepted, not up yet. Words that an adapter does not know land here too."""
    RUNNING = "running"
    """Up, says the provider. Nothing is proved by it."""
    STOPPED = "stopped"
    """Halted by somebody; it may bill its disk."""
    OFFLINE = "offline"
    """The provider has lost sight of it."""
    FAILED = "failed"
    """The provider says that it will never run."""
    ENDING = "ending"
    """Destruction was accepted; it is still listed."""


@dataclass(frozen=True, slots=True)
class Offer:
    """Something rentable, as seen at an instant.

    Prices are USD per hour for the whole offer. Unknown is None, never a guess.
    """

    provider: str
    provider_id: str
    gpu_type: str
    """The display name of `providers.gpus`, for example "RTX 4090"."""
    gpu_count: int
    vram_gb: int
    """Nominal memory of one GPU, in GB."""
    price_per_hour: Decimal
    """With `included_disk_gb` of disk."""
    disk_price_per_gb_hour: Decimal
    fetched_at: datetime
    location: str | None = None
    country: str | None = None
    """ISO 3166 alpha-2, upper case."""
    machine_id: str | None = None
    """The host behind the offer: offers of one host exclude each other. Where it is not told, what
    became of one offer says something of the others at its `location`."""
    reliability: float | None = None
    """0 to 1."""
    verified: bool | None = None
    cuda_version: float | None = None
    interruptible: bool = False
    exclusive: bool = True
    """Can be rented once. False where one listing stands for many machines."""
    least_disk_gb: int = 0
    """What is rented, and paid, where less is asked for."""
    max_disk_gb: int | None = None
    max_duration: timedelta | None = None
    """How long it can be rented at most; None is without limit."""
    direct_ports: int | None = None
    """How many ports of its host can be published."""
    has_own_address: bool = False
    """Its machine shares its address with no other: no port of it has to be forwarded."""
    traits: Mapping[str, str | float | bool] = field(
        default_factory=dict, compare=False, repr=False
    )
    """What conditions of templates and the creation may ask about, in the provider's own words."""
    prior: float = 1.0
    """How far the listing itself is to be believed: 1.0 for a live list, less for a price list."""

    @property
    def id(self) -> str:
        """`{provider}-{provider_id}`; split it at the first hyphen."""
        return f"{self.provider}-{self.provider_id}"

    @property
    def included_disk_gb(self) -> int:
        """GB of disk that the price includes."""
        return self.rented_disk_gb(INCLUDED_DISK_GB)

    def rented_disk_gb(self, asked_gb: int) -> int:
        """GB of disk that are rented where `asked_gb` are asked for."""
        return max(asked_gb, self.least_disk_gb)

    def price_with_disk(self, disk_gb: int) -> Decimal:
        """USD per hour where `disk_gb` of disk are asked for instead of the included ones."""
        more = self.rented_disk_gb(disk_gb) - self.included_disk_gb
        return self.price_per_hour + more * self.disk_price_per_gb_hour


@dataclass(frozen=True, slots=True)
class OfferList:
    """One reading of the market."""

    offers: tuple[Offer, ...]
    dropped: int = 0
    """Rows that could not be understood."""
    complete: bool = True
    """False where the market is known to hold more than was read."""
    detail: str = ""
    """How much of it was read, in a sentence; empty where that needs no words."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A TCP address that a consumer can reach."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Instance:
    """A rented machine as the provider sees it."""

    id: str
    label: str | None
    status: InstanceStatus
    detail: str = ""
    """The provider's own words about the status, at most 300 characters."""
    failure: BootFailure | None = None
    """Where the status is FAILED: why, if the provider tells."""
    ssh: tuple[Endpoint, ...] = ()
    """Where SSH may answer, the preferred one first; empty until known."""
    ssh_of_own_address: Endpoint | None = None
    """Where else it answers if the address is the machine's alone: at others, a stranger's does."""
    ssh_user: str = "root"
    ports: Mapping[int, Endpoint] = field(default_factory=dict)
    """Port inside the machine -> where it is published."""
    price_per_hour: Decimal | None = None
    """What the provider really charges, disk included; None until it says so."""
    created_at: datetime | None = None
    gpu_type: str | None = None
    gpu_count: int | None = None
    image: str | None = None
    """What the provider chose to make it with; None where that was asked for, or is not told."""
    is_brief: bool = False
    """It is a row of a list that leaves out what `get` may tell of it."""

    def ways_in(self, offer: Offer) -> tuple[Endpoint, ...]:
        """Where its own SSH may answer, and nobody else's, if it was made from `offer`."""
        if self.ssh_of_own_address is None or not offer.has_own_address:
            return self.ssh
        return (*self.ssh, self.ssh_of_own_address)


@dataclass(frozen=True, slots=True)
class LaunchSpec:
    """Everything an adapter needs to turn an offer into an instance."""

    offer: Offer
    label: str
    """Set by the very call that creates the instance."""
    public_keys: tuple[str, ...]
    """OpenSSH lines that must be able to log in."""
    disk_gb: int = INCLUDED_DISK_GB
    launch_mode: LaunchMode = LaunchMode.SSH
    image: str | None = None
    """None: the adapter's default image for SSH machines."""
    args: tuple[str, ...] = ()
    """Arguments of the image's entrypoint, in entrypoint mode."""
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    on_start: str | None = field(default=None, repr=False)
    """Shell text that the machine runs when it has started."""
    ports: tuple[int, ...] = ()
    """Ports inside the machine to publish, beside SSH."""
    template_hash_id: str | None = None
    watchdog_at: datetime | None = None
    """When the machine must end itself, unless `WATCHDOG_FILE` is rewritten; None: never."""


@dataclass(frozen=True, slots=True)
class Template:
    """A prepared image with its settings, as a provider publishes it."""

    hash_id: str
    name: str
    image: str
    provider: str
    id: int | None = None
    tag: str | None = None
    env: str | None = None
    """Docker flags, as the provider keeps them: `-p 1111:1111 -e A=1`."""
    onstart: str | None = None
    runtype: str | None = None
    use_ssh: bool = True
    ssh_direct: bool = True
    recommended: bool = False
    recommended_disk_space: int | None = None
    extra_filters: str | None = None
    """JSON text: conditions on the offer, in the provider's own words."""
    creator_id: int | None = None
    created_at: datetime | None = None
    count_created: int | None = None

    @property
    def tagged_image(self) -> str:
        """The image with its tag, where it has one."""
        return self.image if self.tag is None else f"{self.image}:{self.tag}"


@dataclass(frozen=True, slots=True)
class TextLimits:
    """How much text a provider takes with a machine, in characters, and which; None is any."""

    variable: int | None = None
    """The value of one variable of the environment."""
    environment: int | None = None
    """Names and values of all of them."""
    unfit: str = ""
    """The characters that the value of a variable cannot have."""
    on_start: int | None = None
    watchdog: int = 0
    """How much of `on_start` a watchdog takes for itself."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can do, as data, so that nothing above it asks for its name."""

    launch_modes: frozenset[LaunchMode]
    settle: timedelta
    """How long after a lost reply a new instance may still appear in the list."""
    direct_proof: bool
    """`get` may be asked for every ending; otherwise endings are proved by lists."""
    custom_image: bool = True
    environment: bool = True
    on_start: bool = True
    published_ports: bool = True
    templates: bool = False
    balance: bool = False
    balance_floor: Decimal = Decimal(0)
    """USD of the balance that nothing new may be rented for."""
    preserves_storage: bool = False
    watchdog: bool = False
    limits: TextLimits = TextLimits()


class Provider(Protocol):
    """One marketplace account.

    Every call raises a `providers.errors.ProviderError` and nothing else, and may be
    cancelled. Calls never repeat themselves when that could act twice.
    """

    @property
    def name(self) -> str:
        """The provider's name: what stands before the hyphen of an offer id."""
        ...

    @property
    def capabilities(self) -> Capabilities: ...

    async def list_offers(self) -> OfferList:
        """Read the whole market, unfiltered: every rentable on-demand offer."""
        ...

    async def create(self, spec: LaunchSpec) -> Instance:
        """Rent `spec.offer` with `spec.label` on it, exactly once.

        Returning means made, if only to be destroyed: a machine that the provider made and
        did not start is FAILED. `OutcomeUnknown` means that it may have been made: look for
        the label. Any other error means that nothing was made.
        """
        ...

    async def list_instances(self) -> Sequence[Instance]:
        """Every instance of the account, ours or not, complete, or an error.

        A failed, partial or odd answer raises: it is never an empty list.
        """
        ...

    async def get(self, instance_id: str) -> Instance:
        """One instance. `NotFound` is the provider's own word that it is gone."""
        ...

    async def destroy(self, instance_id: str) -> None:
        """Ask for the end of an instance. Returning means accepted, not yet gone.

        `NotFound` means that there is nothing left to destroy. Safe to repeat.
        """
        ...

    async def close(self) -> None:
        """Release connections and helpers. Rented instances stay as they are."""
        ...


@runtime_checkable
class HasTemplates(Protocol):
    """A provider that publishes templates (`capabilities.templates`)."""

    async def list_templates(self) -> Sequence[Template]: ...


@runtime_checkable
class HasKeys(Protocol):
    """A provider that owns its machines' `authorized_keys`: it must be told of every key.

    `create` does not put `LaunchSpec.public_keys` on the machine there; a machine whose
    keys are missing is told of them again.
    """

    async def attach_key(self, instance_id: str, public_key: str) -> None:
        """Let an OpenSSH line log in, within a minute or so. Safe to repeat."""
        ...

    async def detach_key(self, instance_id: str, public_key: str) -> None:
        """Let it log in no more. Safe to repeat, also for a key that was never there."""
        ...


@runtime_checkable
class HasBalance(Protocol):
    """A provider that tells the account's credit (`capabilities.balance`)."""

    async def balance(self) -> Decimal:
        """Spendable USD."""
        ...
