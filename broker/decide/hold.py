"""An operator's word that the broker must not end a session by itself, with an end of its own."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from broker.decide import lease, moves
from broker.decide.events import event_of
from broker.decide.plain import plain
from broker.effects import Effect
from broker.errors import Conflict, Detail, ValidationFailed
from broker.model import Change, Session, Wanted


def hold_until(session: Session, span: timedelta, field: str, now: datetime) -> datetime:
    """The end of a hold that begins at `now`.

    Raises Conflict where the session is ending, ValidationFailed where its machine has no right
    to live for so long; `field` is the one that says for how long.
    """
    if session.wanted is Wanted.GONE:
        raise Conflict(f"The session is {session.status}: it cannot be held.")
    until = now + span
    if until > session.label_deadline:
        latest = plain(session.label_deadline)
        raise ValidationFailed(
            f"The machine's label lets it live until {latest}: no hold passes that.",
            details=[Detail(field, f"must end at {latest} at the latest")],
        )
    return until


def hold(session: Session, until: datetime, reason: str, now: datetime) -> Change:
    """The session is held, or another hold takes the place of the one before."""
    data = {"held_until": until, "reason": reason, "before": session.held_until}
    held = replace(session, held_until=until, hold_reason=reason)
    return Change(Effect.HOLD, held, None, (event_of("session.held", session, now, data),))


def release(session: Session, now: datetime) -> Change | None:
    """The hold is over; so is the session, where only the hold kept it. None without a hold.

    Raises Conflict where the session has ended.
    """
    if session.is_final:
        raise Conflict(f"The session is {session.status}: nothing holds it.")
    if session.wanted is Wanted.GONE or not lease.is_kept(session, now):
        return None
    data = {"held_until": session.held_until, "reason": session.hold_reason}
    event = event_of("session.released", session, now, data)
    after = replace(session, held_until=None, hold_reason=None)
    released = Change(Effect.RELEASE, after, None, (event,))
    reason = lease.overdue(after, now)
    if reason is None:
        return released
    ending = moves.end(after, reason, now, now)
    return replace(released, session=ending.session, events=(event, *ending.events))
