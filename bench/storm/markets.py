"""The two marketplaces on the wire, and what really is in their accounts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

from broker.clock import utcnow
from providers.label import parse_label
from tests import tensordock_wire, vast_wire
from tests.tensordock_wire import LOCATIONS, TensordockWire, Timeline, open_tensordock_wire
from tests.tensordock_wire.lives import VirtualMachine
from tests.vast_wire import BootTimeline, VastWire, open_vast_wire
from tests.vast_wire.contracts import Contract

_OFFERS = 240
_SITES = 6
"""How often the default sites of TensorDock are there."""
_MONEY = Decimal(1_000_000)
_BOOT = BootTimeline(running=timedelta(milliseconds=600), keys=timedelta(milliseconds=100))
_TIMELINE = Timeline(address=timedelta(milliseconds=200), ssh=timedelta(milliseconds=600))
_STRANGERS = ("somebody else's", "gpub-", "gpub-other-aaaaaaaaaa-29999999-1", "gpub-unparsable")
"""Marks of machines that are none of the broker's."""


@dataclass(frozen=True)
class Machine:
    """One machine that was rented, gone or not; times by the true clock."""

    provider: str
    id: str
    label: str
    """As it was ordered."""
    created_at: datetime
    appears_at: datetime
    """From when on the marketplace tells of it."""
    billed_until: datetime | None
    gone_at: datetime | None
    oddities: tuple[str, ...]
    """What went wrong with it by itself."""
    destroy_asked_at: datetime | None = None
    """When the first call to destroy it arrived, whatever became of that."""

    @property
    def session_id(self) -> str:
        """The session that its label names; empty where it names none."""
        label = parse_label(self.label)
        return label.session_id if label else ""


@dataclass
class Markets:
    """Both accounts."""

    vast: VastWire
    tensordock: TensordockWire
    strangers: Mapping[str, frozenset[str]]
    """Provider -> the machines of others in its account."""
    touched: set[str] = field(default_factory=set)
    """Calls that would have changed a machine of others."""
    _destroy_asked_at: dict[str, datetime] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """What a broker needs to rent here."""
        return {
            "VASTAI_API_KEY": self.vast.api_key,
            "VASTAI_API_URL": self.vast.url,
            "VASTAI_PACE": "0",
            "TENSORDOCK_API_TOKEN": self.tensordock.api_token,
            "TENSORDOCK_AUTH_ID": self.tensordock.auth_id,
            "TENSORDOCK_API_URL": self.tensordock.url,
            "TENSORDOCK_PACE": "0",
        }

    def read_calls(self) -> None:
        """Take note of the calls since the last time, and forget them."""
        for provider, wire in (("vastai", self.vast), ("tensordock", self.tensordock)):
            for call in wire.calls:
                machine_id = call.path.rstrip("/").partition("/instances/")[2].partition("/")[0]
                if not machine_id or call.method == "GET":
                    continue
                if machine_id in self.strangers[provider]:
                    self.touched.add(f"{call.method} {call.path}")
                elif call.method == "DELETE" and "/ssh" not in call.path:
                    self._destroy_asked_at.setdefault(machine_id, call.at)
            wire.calls.clear()

    def machines(self) -> list[Machine]:
        """Every machine that was ever made for the broker."""
        self.read_calls()
        now = utcnow()
        made = (
            *map(_of_vast, self.vast.fleet.contracts.values()),
            *map(_of_tensordock, self.tensordock.fleet.machines.values()),
        )
        return [
            replace(_as_of(one, now), destroy_asked_at=self._destroy_asked_at.get(one.id))
            for one in made
            if one.id not in self.strangers[one.provider]
        ]

    def alive(self) -> list[Machine]:
        """Those that are there now."""
        return [one for one in self.machines() if one.gone_at is None]

    def missing_strangers(self) -> Iterator[str]:
        """Machines of others that are not there any more, or do not run."""
        rows = {str(row["id"]): row["actual_status"] for row in self.vast.instances()}
        for machine_id in self.strangers["vastai"]:
            if rows.get(machine_id) != "running":
                yield f"vastai {machine_id}: {rows.get(machine_id)}"
        listed = {str(row["id"]): row["status"] for row in self.tensordock.instances()}
        for machine_id in self.strangers["tensordock"]:
            if str(listed.get(machine_id)).lower() != "running":
                yield f"tensordock {machine_id}: {listed.get(machine_id)}"


def _as_of(one: Machine, now: datetime) -> Machine:
    """Ends that are still to come have not happened."""
    gone_at = one.gone_at if one.gone_at and one.gone_at <= now else None
    billed_until = one.billed_until if one.billed_until and one.billed_until <= now else None
    return replace(one, gone_at=gone_at, billed_until=billed_until)


def _of_vast(one: Contract) -> Machine:
    return Machine(
        provider="vastai",
        id=str(one.id),
        label=one.order.label or "",
        created_at=one.created_at,
        appears_at=one.appears_at,
        billed_until=one.gone_at,
        gone_at=one.gone_at,
        oddities=tuple(one.oddities),
    )


def _of_tensordock(one: VirtualMachine) -> Machine:
    return Machine(
        provider="tensordock",
        id=one.id,
        label=one.name,
        created_at=one.created_at,
        appears_at=one.appears_at,
        billed_until=one.deleted_at,
        gone_at=one.gone_at,
        oddities=tuple(one.oddities),
    )


@asynccontextmanager
async def open_markets(folder: Path) -> AsyncIterator[Markets]:
    """Serve both on loopback, with real machines, machines of others, and money enough."""
    sites = tuple(
        replace(site, id=f"{site.id[:-2]}{copy:02d}", hosts=tuple(
            replace(host, id=f"{host.id[:-2]}{copy:02d}") for host in site.hosts
        ))
        for copy in range(_SITES)
        for site in LOCATIONS
    )  # fmt: skip
    async with (
        open_vast_wire(folder / "vast", now=utcnow, offers=_OFFERS, boot=_BOOT) as vast,
        open_tensordock_wire(
            folder / "tensordock", now=utcnow, locations=sites, timeline=_TIMELINE
        ) as tensordock,
    ):
        vast.credit = tensordock.balance = _MONEY
        strangers = {
            "vastai": frozenset(str(vast.add_instance(label=mark)) for mark in _STRANGERS),
            "tensordock": frozenset(tensordock.add_instance(mark) for mark in _STRANGERS),
        }
        yield Markets(vast, tensordock, strangers)


VAST_WORDS = vast_wire.Word
TENSORDOCK_WORDS = tensordock_wire.Word
