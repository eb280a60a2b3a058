"""The first start on a database that was restored from a copy."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from broker.decide.restored import restored
from broker.errors import StartupError
from broker.store import Store
from broker.store.backup import COPIED_AT

log = logging.getLogger(__name__)


async def take_up_copy(store: Store, *, grace: timedelta, now: datetime) -> None:
    """Make a restored database fit for today, in one transaction and once. Nobody else writes.

    Every session that is not final is taken up as `decide.restored` says; machines that no
    session holds are sighted anew.
    """
    stamp = await store.meta(COPIED_AT)
    if stamp is None:
        return
    copied_at = datetime.fromisoformat(stamp)
    found = [await store.current(session_id) for session_id in await store.open_ids()]
    changes = [
        restored(*current, copied_at=copied_at, grace=grace, now=now)
        for current in found
        if current is not None
    ]
    await store.take_up_copy(changes, now)
    log.warning(
        "The database is a copy of %s. %d sessions were not over then: their machines are looked "
        "for, and none of them ends before %s unless it must.",
        stamp,
        len(changes),
        (now + grace).isoformat(timespec="seconds"),
    )


async def require_taken_up(store: Store) -> None:
    """Raise StartupError for a restored database that no broker has started on yet.

    Its first start gives every session time once; only a broker that stays lets it be used.
    """
    if stamp := await store.meta(COPIED_AT):
        raise StartupError(
            f"The database is a copy of {stamp}, and no broker has started on it yet. Nothing is "
            "done before: start `gpu-broker serve`, which takes up its sessions."
        )
