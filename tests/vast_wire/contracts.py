"""An instance of the simulated service: what was rented, and the phases of its life.

Everything that will happen to it is a phase with an instant, so that any instant can be asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from tests.vast_wire.misfortunes import Word
from tests.vast_wire.search import HOURS_PER_MONTH
from tests.wire.answers import Body as Row
from tests.wire.misfortunes import Misfortune

_BILLED_GPU = frozenset({"running", "frozen"})
_CDI = (
    "Error response from daemon: failed to create task for container: failed to create shim task:"
    " OCI runtime create failed: could not apply required modification to OCI specification:"
    " error modifying OCI spec: failed to inject CDI devices: unresolvable CDI devices"
    " D.{id}/gpu=0"
)
_IMAGE_FAULT = "Error response from daemon: manifest for {image} not found: manifest unknown"


@dataclass(frozen=True)
class BootTimeline:
    """How long after its creation a machine gets how far, and how late a key works."""

    created: timedelta = timedelta(milliseconds=5)
    loading: timedelta = timedelta(milliseconds=20)
    running: timedelta = timedelta(milliseconds=100)
    keys: timedelta = timedelta()
    """From the attaching of a key to its being accepted."""


@dataclass(frozen=True)
class Phase:
    """What the service tells of an instance from an instant on."""

    at: datetime
    actual: str | None
    message: str | None = None
    cur: str = "running"
    intended: str = "running"
    next: str = "running"


@dataclass(frozen=True)
class Order:
    """What was asked for, completed from the template."""

    image: str
    label: str | None
    runtype: str
    disk_gb: float
    env: Mapping[str, str]
    onstart: str | None = None
    args: tuple[str, ...] = ()
    price: float | None = None
    """The bid; None: on demand."""
    template: Row = field(default_factory=dict)
    cancel_unavail: bool = False

    @property
    def variables(self) -> Mapping[str, str]:
        """The environment without the docker flags that travel with it."""
        return {name: value for name, value in self.env.items() if not name.startswith("-")}

    @property
    def ports(self) -> tuple[str, ...]:
        """The published ports as docker tells them: `8000/tcp`."""
        flags = (name.split(None, 1) for name in self.env if name.startswith("-p "))
        inner = [flag[-1].rpartition(":")[2] for flag in flags]
        return tuple(dict.fromkeys(port if "/" in port else f"{port}/tcp" for port in inner))

    @property
    def is_direct(self) -> bool:
        """Whether SSH is wanted without the proxy."""
        return "_direc" in self.runtype

    @property
    def has_ssh(self) -> bool:
        """Whether there is any SSH at all."""
        return self.runtype != "args"


@dataclass
class Attached:
    """A key on a machine."""

    id: int
    key: str
    works_at: datetime
    is_lost: bool = False


@dataclass
class Contract:
    """One instance, gone or not."""

    id: int
    ask: Row
    order: Order
    api_key: str
    created_at: datetime
    appears_at: datetime
    phases: list[Phase]
    label: str | None
    oddities: Mapping[str, Misfortune] = field(default_factory=dict)
    keys: list[Attached] = field(default_factory=list)
    gone_at: datetime | None = None
    bid: float | None = None
    """The bid of an interruptible instance, once it was changed."""
    overrides: Row = field(default_factory=dict)
    """What the row tells whatever the truth is."""
    charged: dict[str, float] = field(default_factory=lambda: {"gpu": 0.0, "disk": 0.0})
    """USD so far."""

    def is_listed(self, now: datetime) -> bool:
        """Whether the service knows it."""
        return self.appears_at <= now and not self.is_gone(now)

    def is_gone(self, now: datetime) -> bool:
        """Whether it was destroyed."""
        return self.gone_at is not None and self.gone_at <= now

    def phase(self, now: datetime) -> Phase:
        """Where it is in its life."""
        past = [phase for phase in self.phases if phase.at <= now]
        return past[-1] if past else self.phases[0]

    def is_expired(self, now: datetime) -> bool:
        """Whether the offer of its host has ended: then it cannot start any more."""
        end = self.ask.get("end_date")
        return isinstance(end, int | float) and end <= now.timestamp()

    def holds_gpus(self, now: datetime) -> bool:
        """Whether nobody else can rent them."""
        return not self.is_gone(now) and self.phase(now).intended == "running"

    def rates(self, now: datetime) -> Mapping[str, float]:
        """$/h for GPU and disk at an instant."""
        actual = self.phase(now).actual
        gpu = self.price if actual in _BILLED_GPU else 0.0
        disk = self.disk_price if actual != "offline" else 0.0
        return {"gpu": gpu, "disk": disk}

    @property
    def price(self) -> float:
        """$/h for the GPUs."""
        bid = self.bid if self.bid is not None else self.order.price
        price = float(self.ask.get("dph_base") or 0) if bid is None else bid
        return 2 * price if Word.PRICE_RAISED in self.oddities else price

    @property
    def disk_price(self) -> float:
        """$/h for the disk, in whatever state."""
        return float(self.ask.get("storage_cost") or 0) * self.order.disk_gb / HOURS_PER_MONTH

    def change(self, now: datetime, *phases: Phase) -> None:
        """From now on its life is another one."""
        self.phases = [*(phase for phase in self.phases if phase.at < now), *phases]

    def stop(self, now: datetime) -> None:
        """Halt it; the disk stays, and is billed."""
        self.change(now, halted(now))

    def running_span(self, now: datetime) -> tuple[datetime | None, datetime | None]:
        """From when until when it runs, now or next; no beginning: not again."""
        ends: Iterable[datetime | None] = [*(phase.at for phase in self.phases[1:]), None]
        for phase, end in zip(self.phases, ends, strict=True):
            if phase.actual == "running" and (end is None or end > now):
                return phase.at, end
        return None, None


def halted(at: datetime, message: str | None = None) -> Phase:
    """Stopped, and meant to be."""
    return Phase(at, "stopped", message, cur="stopped", intended="stopped", next="stopped")


def life(
    created_at: datetime, boot: BootTimeline, image: str, oddities: Mapping[str, Misfortune]
) -> list[Phase]:
    """The phases of a new machine."""
    loading = created_at + boot.loading
    good = [
        Phase(created_at, None),
        Phase(created_at + boot.created, "created"),
        Phase(loading, "loading", "pytorch-2.4.0: Pulling from library \n"),
    ]
    running = Phase(
        created_at + boot.running, "running", f"success, running {image.replace(':', '_')}/ssh"
    )
    for word, misfortune in oddities.items():
        if word in _FAILED_BOOTS:
            return [*good, *_failed(word, misfortune, running, image)]
        if word in _DEATHS:
            return [*good, *_death(word, misfortune, running)]
    return [*good, running]


_FAILED_BOOTS: frozenset[str] = frozenset(
    {Word.STUCK_LOADING, Word.ABANDONED, Word.CDI_ERROR, Word.IMAGE_FAULT},
)
_DEATHS: Mapping[str, str] = {
    Word.EXITED: "exited",
    Word.UNKNOWN: "unknown",
    Word.OFFLINE: "offline",
    Word.OUTBID: "stopped",
}


def _failed(word: str, misfortune: Misfortune, running: Phase, image: str) -> list[Phase]:
    """What stands in the place of running."""
    if word == Word.STUCK_LOADING:
        return []
    if word == Word.ABANDONED:
        return [replace(halted(running.at), actual="created")]
    text = misfortune.text or (_CDI if word == Word.CDI_ERROR else _IMAGE_FAULT)
    return [Phase(running.at, "created", text.replace("{image}", image) + " \n")]


def _death(word: str, misfortune: Misfortune, running: Phase) -> list[Phase]:
    """A machine that ran for `delay`, or not at all, and perhaps runs again."""
    at = running.at + misfortune.delay
    actual = _DEATHS[word]
    end = halted(at) if actual == "stopped" else Phase(at, actual, misfortune.text)
    phases = [running, end] if misfortune.delay else [end]
    if misfortune.until is not None:
        phases.append(replace(running, at=at + misfortune.until))
    return phases
