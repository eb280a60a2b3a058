"""Which machines live beyond what the broker promises, and for how long they do.

The promise: the call that destroys a machine is made within `REACTION` of the instant from which
nobody may have it any more, or for an orphan of the reconciliation after its grace. What a machine
lives beyond that until its marketplace accepts the call is a leak, whoever is to blame.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from broker.decide.jumps import begun_steadily
from broker.decide.lease import due_at
from broker.model import Wanted, Watch

REACTION = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine of ours, at one of its attempts or among the orphans."""

    provider: str
    id: str


@dataclass(frozen=True, slots=True)
class Leaks:
    """What was counted so far in this process. Instants are of its steady clock."""

    counted_until: datetime
    """All of it, from the beginning of the process."""
    since: Mapping[Machine, datetime] = field(default_factory=dict)
    """Machine that should be gone -> since when it should."""


def unwanted(watches: Iterable[Watch], now: datetime) -> dict[Machine, datetime]:
    """The machines of sessions whose destruction is due and not accepted, and since when it is.

    An attempt that failed is due when it is first seen here.
    """
    return {
        Machine(watch.provider, watch.instance_id): since
        for watch in watches
        if watch.instance_id is not None and not watch.is_destroyed
        if (since := _unwanted_since(watch, now)) is not None
    }


def count_leaks(
    before: Leaks,
    due: Mapping[Machine, datetime],
    overdue: Mapping[Machine, datetime],
    ended: Mapping[Machine, datetime],
    now: datetime,
    steady: datetime,
) -> tuple[Leaks, dict[str, timedelta]]:
    """What was counted by now, and what is to be added for each provider.

    `due` are the machines of sessions, by the wall clock; `overdue` the orphans and when each of
    them had to be gone, by the steady one, as `ended`: what ended since the last look, or before
    it without being written. `now` and `steady` are the same instant. Only what lies between the
    looks is counted: neither the time of an earlier process nor that of a jump.
    """
    since = begun_steadily(before.since, due, now, steady) | dict(overdue)
    leaked: dict[str, timedelta] = defaultdict(timedelta)
    over = {machine: at for machine, at in before.since.items() if machine in ended}
    for machine, instant in (over | since).items():
        begin = max(instant + REACTION, before.counted_until)
        leaked[machine.provider] += max(ended.get(machine, steady) - begin, timedelta())
    lasting = {machine: instant for machine, instant in since.items() if machine not in ended}
    return Leaks(max(steady, before.counted_until), lasting), dict(leaked)


def forgiven(counted: Leaks, steady: datetime) -> Leaks:
    """What was counted, with nothing more to come before there was time to react."""
    return replace(counted, counted_until=max(counted.counted_until, steady + REACTION))


def _unwanted_since(watch: Watch, now: datetime) -> datetime | None:
    if watch.wanted is Wanted.GONE:
        return watch.due_at or now
    if watch.failed_for is not None:
        return now
    return due_at(watch) if due_at(watch) <= now else None
