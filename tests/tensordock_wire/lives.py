"""A virtual machine of the simulated service: what was ordered, and the phases of its life.

Everything that will happen to it is a phase with an instant, so that any instant can be asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from tests.tensordock_wire.misfortunes import Word
from tests.tensordock_wire.orders import Forward, Order
from tests.tensordock_wire.places import Gpu, Host
from tests.wire.misfortunes import Misfortune

FOR_EVER = timedelta(days=36_500)
RUNNING = "running"
STOPPED = "stopped"
DISASSOCIATED = "stoppeddisassociated"


@dataclass(frozen=True)
class Timeline:
    """How long after its creation a machine gets how far, and how long its deletion takes."""

    address: timedelta = timedelta(milliseconds=20)
    """`ipAddress` and `portForwards` are told."""
    ssh: timedelta = timedelta(milliseconds=100)
    """SSH answers, and cloud-init is done."""
    deletion: timedelta = timedelta()


@dataclass(frozen=True)
class Phase:
    """The status from an instant on."""

    at: datetime
    status: str


@dataclass
class VirtualMachine:
    """One machine, gone or not."""

    id: str
    order: Order
    host: Host
    created_at: datetime
    appears_at: datetime
    phases: list[Phase]
    address_at: datetime
    ssh_at: datetime
    forwards: tuple[Forward, ...] = ()
    """What was granted."""
    address: str = ""
    public_keys: tuple[str, ...] = ()
    oddities: Mapping[str, Misfortune] = field(default_factory=dict)
    deleted_at: datetime | None = None
    """When its deletion was accepted."""
    gone_at: datetime | None = None
    billed: Decimal = Decimal()
    """USD so far."""
    is_foreign: bool = False
    """Somebody else's in the same organization: it takes no place, and nobody pays for it."""

    @property
    def name(self) -> str:
        """The only mark of whose it is."""
        return self.order.name

    def is_listed(self, now: datetime) -> bool:
        """Whether the service knows it."""
        return self.appears_at <= now and not self.is_gone(now)

    def is_gone(self, now: datetime) -> bool:
        """Whether it was deleted."""
        return self.gone_at is not None and self.gone_at <= now

    def status(self, now: datetime) -> str:
        """In small letters, without anything between them."""
        if self.deleted_at is not None and self.deleted_at <= now:
            return "deleted" if self.is_gone(now) else "deleting"
        past = [phase for phase in self.phases if phase.at <= now]
        return (past[-1] if past else self.phases[0]).status

    def has_address(self, now: datetime) -> bool:
        """Whether it is told where it is reached."""
        return self.address_at <= now

    def holds_gpus(self, now: datetime) -> bool:
        """Whether nobody else can have them."""
        return self.status(now) != DISASSOCIATED and self.holds_host(now)

    def holds_host(self, now: datetime) -> bool:
        """Whether its disk, ports and address are taken."""
        return not self.is_gone(now) and not self.is_foreign

    @property
    def rate(self) -> Decimal:
        """USD per hour, as `rateHourly` tells it."""
        order, host = self.order, self.host
        price = gpu_of(host, order.gpu).price if order.gpu else Decimal()
        listed = (
            order.gpu_count * price
            + order.vcpus * host.per_vcpu
            + order.ram_gb * host.per_gb_ram
            + order.storage_gb * host.per_gb_storage
        )
        raised = 2 if Word.PRICE_RAISED in self.oddities else 1
        return (listed * host.rate_factor * raised).quantize(Decimal("0.000001"))

    def billed_rate(self, now: datetime) -> Decimal:
        """USD per hour at an instant: a stopped machine costs what a running one does."""
        is_ended = self.deleted_at is not None and self.deleted_at <= now
        if self.is_foreign or is_ended or now < self.created_at:
            return Decimal()
        if self.status(now) == DISASSOCIATED:
            return self.order.storage_gb * self.host.per_gb_storage
        return self.rate

    def changes(self) -> list[datetime]:
        """When its price may change."""
        ends = [self.deleted_at] if self.deleted_at else []
        return [self.created_at, *(phase.at for phase in self.phases), *ends]

    def change(self, now: datetime, status: str) -> None:
        """From now on its life is another one."""
        self.phases = [*(phase for phase in self.phases if phase.at < now), Phase(now, status)]

    def up_span(self, now: datetime) -> tuple[datetime | None, datetime | None]:
        """From when until when it answers, now or next; no beginning: not again."""
        lost = self.oddities.get(Word.UNREACHABLE)
        begin, end = self.ssh_at, min(self._ends(), default=None)
        if lost:
            lost_at = self.created_at + lost.delay
            back_at = lost_at + (FOR_EVER if lost.until is None else lost.until)
            if now < lost_at:
                end = min(lost_at, end or lost_at)
            else:
                begin = max(begin, back_at)
        return (None, None) if end is not None and end <= max(begin, now) else (begin, end)

    def _ends(self) -> list[datetime]:
        """After its last start."""
        running = max((one.at for one in self.phases if one.status == RUNNING), default=None)
        if running is None:
            return [self.created_at]
        ends = [phase.at for phase in self.phases if phase.at > running]
        return [*ends, *([self.deleted_at] if self.deleted_at else [])]


def gpu_of(host: Host, v0_name: str | None) -> Gpu:
    """What a host has of one model; nothing of the others."""
    none = Gpu(v0_name or "", 0, Decimal())
    return next((gpu for gpu in host.gpus if gpu.v0_name == v0_name), none)


def phases_of(now: datetime, first: str, oddities: Mapping[str, Misfortune]) -> list[Phase]:
    """The phases of a new machine, which begins as `first`."""
    begin = Phase(now, first)
    for word, status in _ENDINGS.items():
        one = oddities.get(word)
        if one and word == Word.STUCK_CREATING:
            return [Phase(now, status)]
        if one:
            return [begin, Phase(now + one.delay, (one.text or status))]
    return [begin]


_ENDINGS: Mapping[str, str] = {
    Word.STUCK_CREATING: "creating",
    Word.FAILED: "error",
    Word.STOPPED: STOPPED,
    Word.RECLAIMED: DISASSOCIATED,
}


def delay_of(oddities: Mapping[str, Misfortune], word: str) -> timedelta:
    """How much later something is; a misfortune without a delay: never."""
    one = oddities.get(word)
    return (one.delay or FOR_EVER) if one else timedelta()
