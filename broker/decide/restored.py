"""What a session may still be taken for, when its database was restored from a copy.

The world has gone on since the copy was made: machines were rented, leases extended, sessions
ended. So nothing is rented on the word of an old row, and nothing is ended at once.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from broker.decide.events import event_of
from broker.decide.states import Move, advance
from broker.effects import Effect
from broker.model import Attempt, Change, Session, Status, Wanted


def restored(
    session: Session, attempt: Attempt, *, copied_at: datetime, grace: timedelta, now: datetime
) -> Change:
    """Take up a session that is not final, as of a copy that was made at `copied_at`.

    Its machine is looked for by label before anything else. It rents no other one by itself,
    because it may have done so since. Its lease lasts for `grace` at least, because it may have
    been extended; what no extension passes is its end as ever.
    """
    is_searched = not attempt.is_closed and attempt.instance_id is None
    after = replace(
        session,
        request=replace(session.request, auto_retry=False),
        expires_at=_lease_end(session, now + grace),
        lost_since=None,
        idle_since=None,
    )
    if is_searched and session.status is Status.PENDING:
        after = replace(after, status=advance(session.status, Move.LAUNCH))
    data = {
        "copied_at": copied_at,
        "attempt": attempt.n,
        "is_searched": is_searched,
        "before": session.expires_at,
        "expires_at": after.expires_at,
    }
    return Change(
        Effect.TAKE_UP_COPY,
        after,
        replace(attempt, unknown_since=now) if is_searched else None,
        (event_of("session.restored", session, now, data),),
    )


def _lease_end(session: Session, earliest: datetime) -> datetime:
    if session.wanted is not Wanted.RUNNING:
        return session.expires_at
    return max(session.expires_at, min(earliest, session.hard_max_at))
