"""The settings that the use-cases obey, and the broker's own key pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

from broker.model import Change, Session
from broker.ssh.keys import KeyPair


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator has set, in the words of the settings."""

    deployment: str
    """Our deployment part of the labels."""
    hard_max: timedelta
    price_tolerance: Decimal
    """A fraction: 0.05 is five per cent."""
    lost_after: timedelta
    verify_timeout: timedelta
    verify_interval: timedelta
    check_interval: timedelta
    ends_idle: bool
    """False: the idle verdict is only reported."""
    paces: Mapping[str, float] = field(default_factory=dict)
    """Provider -> what its waits are multiplied with."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """What a consumer is told once."""

    private_key: str | None = field(repr=False)
    """PEM; None where the consumer has a key of its own, or none can be made."""
    token: str | None = field(repr=False)
    """Of the session; None where it has ended."""


class Keyring:
    """The keys that the broker can log in with.

    Its own pair is on every machine with managed access. A consumer's secrets are
    here from their making to the first proved login, and nowhere else.
    """

    def __init__(self, own: KeyPair) -> None:
        self.own = own
        self._consumers: dict[str, Secrets] = {}

    def keep(self, session_id: str, secrets: Secrets) -> None:
        self._consumers[session_id] = secrets

    def secrets(self, session_id: str) -> Secrets | None:
        """What the consumer was told at the creation, while it is in memory."""
        return self._consumers.get(session_id)

    def consumer_key(self, session_id: str) -> str | None:
        """The consumer's private key, while it is in memory."""
        kept = self._consumers.get(session_id)
        return kept.private_key if kept else None

    def forget(self, session_id: str) -> None:
        self._consumers.pop(session_id, None)

    def session_changed(self, _: Change, session: Session) -> None:
        """A journal tells of every change: the key of a session that is over is forgotten."""
        if session.is_final:
            self.forget(session.id)
