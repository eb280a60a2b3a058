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


class Keyring:
    """The keys that the broker can log in with.

    Its own pair is on every machine with managed access. A consumer's private key is
    here from its making to the first proved login, and nowhere else.
    """

    def __init__(self, own: KeyPair) -> None:
        self.own = own
        self._consumers: dict[str, str] = {}

    def keep(self, session_id: str, private_pem: str) -> None:
        self._consumers[session_id] = private_pem

    def consumer_key(self, session_id: str) -> str | None:
        """The consumer's private key, while it is in memory."""
        return self._consumers.get(session_id)

    def forget(self, session_id: str) -> None:
        self._consumers.pop(session_id, None)

    def session_changed(self, _: Change, session: Session) -> None:
        """A journal tells of every change: the key of a session that is over is forgotten."""
        if session.is_final:
            self.forget(session.id)
