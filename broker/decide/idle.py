"""Is anybody using the machine? Readings over time, and the verdict that ends a session.

Whatever is not known counts as use: nobody loses a machine because a probe failed,
a driver tells nothing or the broker was down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from broker.decide.plain import plain

BUSY_FROM_PERCENT = 5.0
"""GPU utilisation from which a machine is in use."""
LEAST_READINGS = 3
"""Idle readings in a row before anybody may be called idle."""
KEPT_READINGS = 5
LONGEST_CLAIM = timedelta(days=365)
"""No heartbeat is believed further back."""
CLAIM_JITTER = timedelta(seconds=5)
"""Claims that differ by less mean the same instant."""
LONGEST_PROBE_INTERVAL = timedelta(seconds=60)
PROBES_PER_THRESHOLD = 6


class Source(StrEnum):
    """Who tells."""

    PROBE = "probe"
    HEARTBEAT = "heartbeat"


@dataclass(frozen=True, slots=True)
class IdleReading:
    """What a probe saw on the machine; None is unknown."""

    gpu_util: float | None
    """Percent, of the busiest GPU."""
    users: int | None
    """Logged in, the probe itself not counted."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One testimony about a machine; None is unknown."""

    at: datetime
    source: Source
    gpu_util: float | None = None
    """Percent, of the busiest GPU."""
    users: int | None = None
    """Logged in; only a probe sees them."""
    idle_for: timedelta | None = None
    """For how long nothing happened; only a heartbeat says so."""


@dataclass(frozen=True, slots=True)
class IdleState:
    """What is remembered of a session's readings."""

    since: datetime | None = None
    """Since when the machine is idle; None while it is used."""
    readings: tuple[Reading, ...] = ()
    """The newest, oldest first."""
    used_at: datetime | None = None
    """The last reading that was not idle."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a machine has been idle for long enough to end its session."""

    is_idle: bool
    since: datetime | None
    evidence: tuple[Mapping[str, Any], ...]
    """The readings behind it, ready for JSON."""


def is_idle(reading: Reading) -> bool | None:
    """What one reading says of the machine; None where it does not tell."""
    if reading.gpu_util is not None and reading.gpu_util >= BUSY_FROM_PERCENT:
        return False
    if reading.source is Source.HEARTBEAT:
        return None if reading.idle_for is None else reading.idle_for > timedelta(0)
    if reading.users:
        return False
    return None if reading.gpu_util is None or reading.users is None else True


def observe(state: IdleState, reading: Reading, *, longest_gap: timedelta) -> IdleState:
    """The state after one more reading.

    A gap of more than `longest_gap` since the last one forgets what was before it.
    """
    if state.readings and reading.at - state.readings[-1].at > longest_gap:
        state = IdleState()
    readings = (*state.readings, reading)[-KEPT_READINGS:]
    if not is_idle(reading):
        return IdleState(None, readings, used_at=reading.at)
    return IdleState(_idle_since(state, reading), readings, state.used_at)


def verdict(state: IdleState, threshold: timedelta, now: datetime) -> Verdict:
    """Whether the newest readings are idle, and at the last of them it was so for `threshold`.

    Time that nobody has looked at since does not count.
    """
    last = state.readings[-LEAST_READINGS:]
    are_idle = len(last) == LEAST_READINGS and all(is_idle(reading) for reading in last)
    return Verdict(
        is_idle=are_idle
        and state.since is not None
        and min(now, last[-1].at) - state.since >= threshold,
        since=state.since,
        evidence=tuple(_said(reading) for reading in state.readings),
    )


def probe_interval(threshold: timedelta, check_interval: timedelta) -> timedelta:
    """How often to look at a machine that may be idle for `threshold`."""
    wanted = min(threshold / PROBES_PER_THRESHOLD, LONGEST_PROBE_INTERVAL)
    return max(wanted, check_interval)


def _idle_since(state: IdleState, reading: Reading) -> datetime:
    """A heartbeat knows what happened between readings: its word moves the instant both ways,
    but never back to where use was seen.
    """
    if reading.idle_for is None:
        return state.since or reading.at
    claimed = reading.at - min(reading.idle_for, LONGEST_CLAIM)
    if state.since is not None and abs(claimed - state.since) < CLAIM_JITTER:
        return state.since
    return claimed if state.used_at is None else max(claimed, state.used_at)


def _said(reading: Reading) -> Mapping[str, Any]:
    said: dict[str, object] = {
        "at": reading.at,
        "source": reading.source,
        "gpu_util": reading.gpu_util,
    }
    if reading.source is Source.PROBE:
        said["users"] = reading.users
    else:
        said["idle_seconds"] = reading.idle_for
    return {key: plain(value) for key, value in said.items()}
