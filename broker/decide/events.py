"""The events that changes write: what happened to a session, ready for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from broker.decide.plain import plain, sentence
from broker.decide.states import IllegalMove
from broker.model import Attempt, Event, Reason, Session


def event_of(kind: str, session: Session, now: datetime, data: Mapping[str, Any]) -> Event:
    """What happened to `session` as it was read; raises IllegalMove where that is final."""
    require_open(session, kind)
    return Event(kind, now, session.id, {key: plain(value) for key, value in data.items()})


def require_open(session: Session, what: str) -> None:
    """Raise IllegalMove where `session` is final."""
    if session.is_final:
        raise IllegalMove(session.status, what)


def unresolved(attempt: Attempt) -> str:
    """What became of a creation whose outcome stayed unknown: why it was, as far as is known."""
    known = sentence(attempt.detail or "The reply to the creation was lost")
    return f"{known} No machine appeared."


def why(attempt: Attempt, reason: Reason, detail: str) -> dict[str, Any]:
    """The data of an event that tells why an attempt failed."""
    return {
        "attempt": attempt.n,
        "offer_id": attempt.offer.id,
        "reason": reason,
        "detail": detail,
    }
