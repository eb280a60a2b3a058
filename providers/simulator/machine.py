"""A rented machine of the simulated market: its facts, its fate, and what they mean at an instant.

Pure. Everything that will happen to a machine is decided when it is made: an instant is
all that is needed to say what it is doing, in whichever process and after any restart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from ipaddress import ip_network

from providers.base import (
    INCLUDED_DISK_GB,
    Endpoint,
    Instance,
    InstanceStatus,
    LaunchMode,
    LaunchSpec,
    Offer,
)
from providers.simulator.catalog import Model, model_of, wrong_model
from providers.simulator.faults import Fault, Word

HOST = "127.0.0.1"
NO_PORT = 9
"""Where machines without SSH say they are: the discard port, at which nothing answers."""
_LOOPBACK = ip_network("127.0.0.0/8")
ROOT = "root"

_MICROSECOND = timedelta(microseconds=1)
_MICROSECONDS_PER_HOUR = 3_600_000_000


@dataclass(frozen=True, slots=True)
class Fate:
    """What will happen to a machine, and when."""

    boots_at: datetime | None
    """None: never."""
    fails: bool = False
    """Instead of booting."""
    dies_at: datetime | None = None
    shows_wrong_gpu: bool = False
    is_refusing: bool = False
    """SSH connections are refused, until `connects_at` if there is one."""
    connects_at: datetime | None = None
    keys_at: datetime | None = None
    """From when keys are accepted; None: from the boot on."""
    answer_delay: timedelta = timedelta()
    """How late SSH answers."""
    appears_at: datetime | None = None
    """From when it is listed; None: from its making on, whatever becomes of the wall clock."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What was rented, and how it was launched."""

    label: str
    offer_id: str
    host_id: str
    gpu_type: str
    gpu_count: int
    vram_gb: int
    cuda_version: float | None
    price_per_hour: Decimal
    """With the disk that was asked for."""
    launch_mode: LaunchMode
    image: str
    host_key: str = field(repr=False)
    """OpenSSH private key, PEM."""
    disk_gb: int = INCLUDED_DISK_GB
    public_keys: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    on_start: str | None = field(default=None, repr=False)
    ports: tuple[int, ...] = ()
    user: str = ROOT
    """Who logs in."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One line of the account."""

    id: int
    launch: Launch
    fate: Fate
    created_at: datetime
    """When it appeared, and from when it is billed."""
    destroyed_at: datetime | None = None
    """When its destruction was accepted, and until when it is billed."""
    gone_at: datetime | None = None
    """From when it is not listed any more."""
    ssh_port: int | None = None
    """On this computer; chosen once, kept for ever."""
    published: Mapping[int, int] = field(default_factory=dict)
    """Port inside the machine -> port on this computer."""

    @property
    def model(self) -> Model:
        """The GPU that its driver shows."""
        if self.fate.shows_wrong_gpu:
            return wrong_model(self.launch.gpu_type)
        return model_of(self.launch.gpu_type, self.launch.vram_gb)

    def is_listed(self, now: datetime) -> bool:
        """Whether the account knows it at `now`."""
        has_appeared = self.fate.appears_at is None or self.fate.appears_at <= now
        return has_appeared and (self.gone_at is None or now < self.gone_at)

    def status(self, now: datetime) -> InstanceStatus:
        """What the provider says of it."""
        fate = self.fate
        if self.destroyed_at is not None:
            return InstanceStatus.ENDING
        if fate.boots_at is None or now < fate.boots_at:
            return InstanceStatus.STARTING
        if fate.fails:
            return InstanceStatus.FAILED
        if fate.dies_at is not None and now >= fate.dies_at:
            return InstanceStatus.OFFLINE
        return InstanceStatus.RUNNING

    def is_up(self, now: datetime) -> bool:
        """Whether it really runs: what is being destroyed does not."""
        return self.is_listed(now) and self.status(now) is InstanceStatus.RUNNING

    def is_connecting(self, now: datetime) -> bool:
        """Whether its SSH takes connections."""
        opens_at = self.fate.connects_at
        is_open = not self.fate.is_refusing or (opens_at is not None and opens_at <= now)
        return is_open and self.is_up(now)

    def is_accepting_keys(self, now: datetime) -> bool:
        """Whether its SSH accepts the keys that it has."""
        return self.fate.keys_at is None or self.fate.keys_at <= now

    def next_change(self, now: datetime) -> datetime | None:
        """The first instant after `now` at which it begins or stops to answer."""
        fate = self.fate
        instants = (fate.appears_at, fate.boots_at, fate.connects_at, fate.dies_at, self.gone_at)
        return min((at for at in instants if at is not None and at > now), default=None)

    def billed(self, now: datetime) -> Decimal:
        """USD up to `now`: by the second, from its making to the acceptance of its end."""
        until = min(self.destroyed_at or now, now)
        microseconds = max(until - self.created_at, timedelta()) // _MICROSECOND
        return self.launch.price_per_hour * microseconds / _MICROSECONDS_PER_HOUR


def decide_fate(
    boot: Fault | None, ssh: Fault | None, *, created_at: datetime, boot_time: timedelta
) -> Fate:
    """What two misfortunes, one of the boot and one of SSH, make of a new machine."""
    boot_word, boot_delay = _read(boot)
    ssh_word, ssh_delay = _read(ssh)
    boots_at = created_at + boot_time + (boot_delay if boot_word is Word.SLOW else timedelta())
    is_refusing = ssh_word is Word.REFUSED
    return Fate(
        boots_at=None if boot_word is Word.NEVER_BOOTS else boots_at,
        fails=boot_word is Word.ERROR,
        dies_at=boots_at + boot_delay if boot_word is Word.DIES else None,
        shows_wrong_gpu=boot_word is Word.WRONG_GPU,
        is_refusing=is_refusing,
        connects_at=boots_at + ssh_delay if is_refusing and ssh and ssh.delay else None,
        keys_at=boots_at + ssh_delay if ssh_word is Word.KEY_LATE else None,
        answer_delay=ssh_delay if ssh_word is Word.SLOW else timedelta(),
    )


def launch_of(spec: LaunchSpec, offer: Offer, *, host_id: str, host_key: str) -> Launch:
    """What is rented when `spec` takes `offer` at the price it has now."""
    return Launch(
        label=spec.label,
        offer_id=offer.provider_id,
        host_id=host_id,
        gpu_type=offer.gpu_type,
        gpu_count=offer.gpu_count,
        vram_gb=offer.vram_gb,
        cuda_version=offer.cuda_version,
        price_per_hour=offer.price_with_disk(spec.disk_gb),
        launch_mode=spec.launch_mode,
        image=spec.image or "",
        host_key=host_key,
        disk_gb=spec.disk_gb,
        public_keys=spec.public_keys,
        args=spec.args,
        env=dict(spec.env),
        on_start=spec.on_start,
        ports=spec.ports,
    )


def address_without_ssh(machine_id: int) -> str:
    """The address of a machine without SSH: one of its own on this computer."""
    return str(_LOOPBACK[machine_id % _LOOPBACK.num_addresses])


def present_instance(machine: Machine, now: datetime, *, has_ssh: bool) -> Instance:
    """The machine as the provider tells it at `now`."""
    status = machine.status(now)
    is_running = status is InstanceStatus.RUNNING
    host = HOST if has_ssh else address_without_ssh(machine.id)
    ssh_port = machine.ssh_port if has_ssh else NO_PORT
    published = machine.published if has_ssh else dict.fromkeys(machine.launch.ports, NO_PORT)
    return Instance(
        id=str(machine.id),
        label=machine.launch.label,
        status=status,
        detail=_detail(machine, status, now)[:_LONGEST_DETAIL],
        ssh=(Endpoint(host, ssh_port),) if is_running and ssh_port else (),
        ports={
            inside: Endpoint(host, outside) for inside, outside in published.items() if is_running
        },
        price_per_hour=machine.launch.price_per_hour,
        created_at=machine.created_at,
        gpu_type=machine.launch.gpu_type,
        gpu_count=machine.launch.gpu_count,
    )


_DETAILS = {
    InstanceStatus.RUNNING: "success, running {image}",
    InstanceStatus.OFFLINE: "the host does not answer any more",
    InstanceStatus.FAILED: "the container of {image} could not be started",
    InstanceStatus.ENDING: "being destroyed",
}
_STAGES = ("creating the container", "pulling {image}", "starting {image}")
_LONGEST_DETAIL = 300


def _detail(machine: Machine, status: InstanceStatus, now: datetime) -> str:
    """What the provider says in words; while a machine boots, how far that is."""
    words = _DETAILS.get(status) or _STAGES[_stage(machine, now)]
    return words.format(image=machine.launch.image)


def _stage(machine: Machine, now: datetime) -> int:
    """Each stage takes its share of the boot; a boot that never ends hangs in the second."""
    if machine.fate.boots_at is None:
        return 1
    passed, whole = now - machine.created_at, machine.fate.boots_at - machine.created_at
    done = passed / whole if passed > timedelta() else 0
    return min(int(len(_STAGES) * done), len(_STAGES) - 1)


def _read(fault: Fault | None) -> tuple[Word | None, timedelta]:
    """What happens, and its delay."""
    if fault is None:
        return None, timedelta()
    return fault.fault, fault.delay or timedelta()
