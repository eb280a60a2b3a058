"""What is written beside sessions, and what sweeps read of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from broker.effects import Effect
from broker.model.sessions import Attempt, Session
from broker.model.words import Reason, Status, Wanted


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, written in the transaction of its change."""

    type: str
    """For example `session.running`."""
    created_at: datetime
    session_id: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    """JSON values that explain it: reasons, figures, evidence. Never a secret."""
    id: int | None = None
    """Given by the store, ascending."""


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that a consumer should know, though the request succeeded."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Accrual:
    """A stretch of time that the provider bills to one attempt at one rate."""

    session_id: str
    attempt: int
    consumer_id: str
    provider: str
    gpu_type: str
    price_per_hour: Decimal
    begins_at: datetime
    """By the wall clock as it goes now: while its session lives, it moves where that is set."""
    ends_at: datetime | None = None
    """None while the meter runs. The acceptance of the destruction; should it prove to have had
    no effect, the meter runs on until a later one. Before there is any, the call that asked for it;
    without such a call, the instant at which the instance was missed."""


@dataclass(frozen=True, slots=True)
class Meter:
    """A live session and one of its accruals."""

    session_id: str
    accrual: Accrual | None = None
    """None where nothing has been billed to the session yet."""
    is_running: bool = False
    """The instance that is billed is not proved gone."""


@dataclass(frozen=True, slots=True)
class Version:
    """A session at one of its commits: the same version always says the same."""

    id: str
    version: int


@dataclass(frozen=True, slots=True)
class Overview:
    """A session with everything that was tried and billed for it, as of one commit."""

    session: Session
    attempts: tuple[Attempt, ...]
    accruals: tuple[Accrual, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """An offer that did not become a working machine: remembered to pass it over."""

    offer_id: str
    provider: str
    gpu_type: str
    reason: Reason
    created_at: datetime
    machine_id: str | None = None
    location: str | None = None


@dataclass(frozen=True, slots=True)
class Sighting:
    """An instance with our label that no live session holds, as this database has seen it."""

    provider: str
    instance_id: str
    label: str
    first_seen_at: datetime
    last_seen_at: datetime
    count: int
    destroy_asked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Holder:
    """What a session's row says about the instances that carry its labels."""

    session_id: str
    status: Status
    attempt: int
    """The number of the current attempt: only its instance can be held."""
    instance_id: str | None
    """Of the current attempt; None while it is open whether one was made."""
    is_closed: bool
    """The current attempt is over: it holds nothing any more."""
    tombstones: Mapping[int, datetime] = field(default_factory=dict)
    """Attempt -> until when an instance that appears late under its label is buried."""
    gone_at: Mapping[int, datetime] = field(default_factory=dict)
    """Attempt -> when its instance was proved gone: older lists may still show it."""


@dataclass(frozen=True, slots=True)
class CarriedOut:
    """That a request with an Idempotency-Key was carried out, and on which session."""

    key: str
    """As the client made it up."""
    fingerprint: str
    """Of what was asked: the same key may not ask for anything else."""
    session_id: str
    created_at: datetime
    answer: Mapping[str, Any] = field(default_factory=dict)
    """JSON values that a repeated answer needs and that the session does not keep. No secrets."""


@dataclass(frozen=True, slots=True)
class Change:
    """Everything that one transaction writes about one session."""

    name: Effect
    """What the change does."""
    session: Session
    """The new value; its `version` is the one that was read."""
    attempt: Attempt | None = None
    """Inserted or replaced."""
    events: tuple[Event, ...] = ()
    accrual: Accrual | None = None
    """Opened, or closed: an attempt has one, which keeps the beginning that is written."""
    failure: Failure | None = None
    forget_confidential: bool = False
    """The sealed environment is not needed any more."""
    carried_out: CarriedOut | None = None
    """The request that asked for it, where it has a key."""


@dataclass(frozen=True, slots=True)
class Watch:
    """The few columns of a live session that a sweep decides with."""

    id: str
    version: int
    status: Status
    wanted: Wanted
    provider: str
    attempt: int
    instance_id: str | None
    accepted_at: datetime | None
    expires_at: datetime
    hard_max_at: datetime
    idle_threshold: timedelta | None
    managed_access: bool
    idle_since: datetime | None
    lost_since: datetime | None
    warned_for: datetime | None
    held_until: datetime | None = None
    due_at: datetime | None = None
    failed_for: Reason | None = None
    """Why its current attempt failed."""
    destroy_accepted_at: datetime | None = None
    """When the provider accepted the destruction of its instance."""
    ended_at: datetime | None = None
    """When its current attempt was over."""

    @property
    def is_destroyed(self) -> bool:
        """Whether its instance is gone, or its provider has agreed that it will be."""
        return self.destroy_accepted_at is not None or self.ended_at is not None
