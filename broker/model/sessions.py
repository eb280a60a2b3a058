"""A session and its attempts, as they are now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from broker.model.requests import Request
from broker.model.words import FINAL, Outcome, Reason, Status, Wanted, Witness
from providers.base import Endpoint, Offer


@dataclass(frozen=True, slots=True)
class Access:
    """Where a session's machine is reached, as far as that is known."""

    ssh: Endpoint | None = None
    ssh_user: str | None = None
    ports: Mapping[int, Endpoint] = field(default_factory=dict)
    """Port inside the machine -> where it is published."""
    api_endpoint: str | None = None
    known_hosts: tuple[str, ...] = ()
    """OpenSSH known_hosts lines: the host key pinned at the first login."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at turning an offer into a verified instance."""

    session_id: str
    n: int
    """1 to 9."""
    offer: Offer
    label: str
    price_per_hour: Decimal
    """For the disk asked for; what the provider really charges, once it says so."""
    started_at: datetime
    instance_id: str | None = None
    accepted_at: datetime | None = None
    """When the provider accepted the creation."""
    deadline_at: datetime | None = None
    """The one deadline of the attempt: acceptance to verified login."""
    unknown_since: datetime | None = None
    """Since when it is open whether an instance was made."""
    verified_at: datetime | None = None
    reason: Reason | None = None
    """Why it failed; set as soon as that is decided, before the instance is gone."""
    detail: str | None = None
    """The same as a sentence."""
    due_at: datetime | None = None
    """When the end of its instance became due: its failure, or the end of the session."""
    destroy_asked_at: datetime | None = None
    """The first attempt to destroy."""
    destroy_accepted_at: datetime | None = None
    """The provider's acceptance of the destruction."""
    absent_at: datetime | None = None
    """The first of the two observations that the instance is gone."""
    absent_by: Witness | None = None
    gone_at: datetime | None = None
    """The instant of the proof that the instance is gone: the second observation."""
    gone_by: Witness | None = None
    ended_at: datetime | None = None
    outcome: Outcome | None = None
    tombstone_until: datetime | None = None
    """Until when an instance that appears late under this label is buried at once."""

    @property
    def is_closed(self) -> bool:
        return self.ended_at is not None


@dataclass(frozen=True, slots=True)
class Session:
    """Our promise to one consumer: at most one instance at a time."""

    id: str
    request: Request
    status: Status
    wanted: Wanted
    created_at: datetime
    expires_at: datetime
    hard_max_at: datetime
    """No extension passes it."""
    label_deadline: datetime
    """What every label of this session says; the instance has no right to live after it."""
    public_key: str
    """The consumer's public key, an OpenSSH line."""
    token_digest: str
    """SHA-256 of the session token, hexadecimal."""
    offer: Offer
    """The offer of the current attempt."""
    price_per_hour: Decimal
    """Of the current attempt."""
    version: int = 0
    """Counts the writes; a writer that has an old one loses."""
    attempt: int = 1
    """The number of the current attempt."""
    instance_id: str | None = None
    """The provider's id of the current attempt's instance."""
    image: str | None = None
    access: Access = Access()
    reason: Reason | None = None
    """Why it ends or ended."""
    error: str | None = None
    """The same as a sentence, where something went wrong."""
    due_at: datetime | None = None
    """The instant at which the end became due."""
    running_at: datetime | None = None
    stopped_at: datetime | None = None
    """The instant of the proof that no machine is left."""
    lost_since: datetime | None = None
    """Since when the provider calls the machine lost, stopped or offline."""
    idle_since: datetime | None = None
    warned_for: datetime | None = None
    """The end of the lease whose approach was already announced."""
    held_until: datetime | None = None
    """Until when an operator keeps the broker from ending it by itself; in the past once that is
    over; None without a hold."""
    hold_reason: str | None = None
    """The operator's words."""

    @property
    def is_final(self) -> bool:
        return self.status in FINAL
