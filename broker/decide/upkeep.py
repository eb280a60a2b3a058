"""What is written about the upkeep of a machine that works: one transaction each.

All raise IllegalMove for a session that is final.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from broker.decide.events import event_of
from broker.decide.keys import DETACHED, REKEYED
from broker.effects import Effect
from broker.model import Access, Change, Session


def reissue(
    session: Session,
    public_key: str | None,
    digest: str | None,
    access: Access,
    now: datetime,
    *,
    replaced: str | None = None,
) -> Change:
    """New secrets stand for those that were told before; None leaves one as it is.

    `replaced` is the public key that the provider has still to forget.
    """
    renewed = replace(
        session,
        public_key=public_key or session.public_key,
        token_digest=digest or session.token_digest,
        access=access,
    )
    data = {"ssh_key": public_key is not None, "session_token": digest is not None}
    told = data | ({"replaced": replaced} if replaced else {})
    return Change(Effect.REISSUE, renewed, None, (event_of(REKEYED, session, now, told),))


def note_detached(session: Session, public_key: str, now: datetime) -> Change:
    """The provider has forgotten a key that was replaced."""
    event = event_of(DETACHED, session, now, {"key": public_key})
    return Change(Effect.NOTE_DETACHED, session, None, (event,))


def note_watchdog(
    session: Session, before: datetime | None, deadline: datetime, now: datetime
) -> Change:
    """The machine knows until when it may live."""
    data = {"before": before, "deadline": deadline}
    event = event_of("watchdog.deadline_written", session, now, data)
    return Change(Effect.NOTE_WATCHDOG, session, None, (event,))


def watchdog_fails(session: Session, deadline: datetime, detail: str, now: datetime) -> Change:
    """The machine cannot be told until when it may live; it is tried again without end."""
    data = {"deadline": deadline, "detail": detail}
    event = event_of("watchdog.deadline_not_written", session, now, data)
    return Change(Effect.WATCHDOG_FAILS, session, None, (event,))
