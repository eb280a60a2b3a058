"""Which keys a machine must let in, and when its provider is told of them again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from broker.decide.pauses import growing
from broker.decide.proof import bare_public_key
from broker.model import Event, Session

REKEYED, DETACHED = "session.rekeyed", "session.key_detached"
"""The events that tell which keys of a session the provider still has to forget."""

_EFFECT = timedelta(minutes=1)
"""After which time a provider has put a key that it was told of on the machine."""
_SHORTEST_PAUSE = timedelta(seconds=1)
_FIRST_PAUSE = timedelta(seconds=5)
_LONGEST_PAUSE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Told:
    """How often a provider was told of a machine's keys, and when the last time was over.

    By the steady clock.
    """

    tries: int = 0
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Retired:
    """A key that stands for nothing any more, and that the provider may still let in."""

    session_id: str
    public_key: str


def keys_of(session: Session, own_line: str) -> tuple[str, ...]:
    """The OpenSSH lines that must be able to log in to the session's machine."""
    managed = (own_line,) if session.request.managed_access else ()
    return (session.public_key, *managed)


def time_to_take_effect(pace: float) -> timedelta:
    """How long after telling a provider of a key its machine has it for good."""
    return max(_EFFECT * pace, _SHORTEST_PAUSE)


def pause_after_failure(tries: int) -> timedelta:
    """How long to leave the provider alone after it refused to be told so often."""
    return growing(_SHORTEST_PAUSE, 2, tries, _LONGEST_PAUSE)


def may_tell_again(told: Told, now: datetime, pace: float) -> bool:
    """Whether keys that are not accepted are a reason to tell of them now.

    `pace` multiplies the time that a provider gets to put them on the machine.
    """
    if told.ended_at is None:
        return True
    pause = growing(_FIRST_PAUSE, 2, told.tries, _LONGEST_PAUSE) * pace
    return now >= told.ended_at + max(pause, _SHORTEST_PAUSE)


def replaced_key(old_line: str, new_line: str) -> str | None:
    """The key that the provider has to forget when a new one stands for it."""
    old = bare_public_key(old_line)
    return None if old == bare_public_key(new_line) else old


def still_attached(events: Iterable[Event]) -> tuple[Retired, ...]:
    """The retired keys that no event tells to be forgotten; the events are in their order."""
    left: dict[Retired, None] = {}
    for event in events:
        key = event.data.get("replaced") if event.type == REKEYED else event.data.get("key")
        if event.session_id is None or not isinstance(key, str):
            continue
        retired = Retired(event.session_id, key)
        if event.type == REKEYED:
            left[retired] = None
        else:
            left.pop(retired, None)
    return tuple(left)
