"""Until when a machine with a watchdog may live, and when it is told of that again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from broker.decide import pauses
from broker.decide.lease import due_at
from broker.model import Session, Status, Wanted

MARGIN = timedelta(minutes=10)
"""How long after its session's end a machine waits for the broker to destroy it."""

_FIRST_PAUSE = timedelta(seconds=2)
_LONGEST_PAUSE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of the deadline on a machine."""

    deadline: datetime | None = None
    """The one that it was seen to have; None is not known."""
    failures: int = 0
    """In a row, since it last worked."""
    tried_at: datetime | None = None
    """By the steady clock."""


def deadline_of(session: Session) -> datetime:
    """The last second of the session's machine; nothing passes what its label says."""
    deadline = min(due_at(session) + MARGIN, session.label_deadline)
    return deadline.replace(microsecond=0)


def has_watchdog(session: Session) -> bool:
    """Whether there is a machine that has to know its deadline."""
    return (
        session.request.watchdog
        and session.status is Status.RUNNING
        and session.wanted is Wanted.RUNNING
    )


def has_to_be_told(session: Session, told: Told, now: datetime) -> bool:
    """Whether the machine is to be told its deadline now."""
    if told.deadline == deadline_of(session):
        return False
    if told.tried_at is None or not told.failures:
        return True
    return now >= told.tried_at + pauses.growing(_FIRST_PAUSE, 2, told.failures, _LONGEST_PAUSE)


def is_news(failures: int) -> bool:
    """Whether it is time to shout, after so many failures in a row: once is no news."""
    return failures > 1 and pauses.is_news(failures)
