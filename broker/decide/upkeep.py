"""What is written about the keys on a machine that works, as values: one transaction each.

All raise IllegalMove for a session that is final.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from broker.decide.events import event_of
from broker.model import Access, Change, Session


def reissue(
    session: Session, public_key: str | None, digest: str | None, access: Access, now: datetime
) -> Change:
    """New secrets stand for those that were told before; None leaves one as it is."""
    renewed = replace(
        session,
        public_key=public_key or session.public_key,
        token_digest=digest or session.token_digest,
        access=access,
    )
    data = {"ssh_key": public_key is not None, "session_token": digest is not None}
    return Change("reissue", renewed, None, (event_of("session.rekeyed", session, now, data),))
