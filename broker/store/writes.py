"""What is written: one function for each job of the writer, in the transaction it is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import IntegrityError

from broker.errors import DuplicateSession, StaleWrite
from broker.model import Accrual, Change, Event, Failure, Session, Sighting
from broker.store.backup import COPIED_AT
from broker.store.columns import Duration
from broker.store.rows import carried_out_row, event_row, session_row, to_row
from broker.store.schema import (
    LIVE,
    accruals,
    attempts,
    carried_out,
    events,
    failures,
    meta,
    sessions,
    sightings,
)

RESTORED_AT = "restored_at"
"""The key in `meta` of the instant at which a copy was last taken up, in ISO 8601."""


def _upsert(table: sa.Table) -> sa.Insert:
    """Insert a row, or replace the one with its primary key."""
    statement = insert(table)
    changed = {c.name: statement.excluded[c.name] for c in table.c if not c.primary_key}
    return statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=changed)


# Built once: a statement that SQLAlchemy has seen before costs it a third of a new one.
_PUT_ATTEMPT, _PUT_META, _PUT_CARRIED_OUT = _upsert(attempts), _upsert(meta), _upsert(carried_out)
_CHANGE_SESSION = sessions.update().where(
    sessions.c.id == sa.bindparam("changed_id"),
    sessions.c.version == sa.bindparam("read_version"),
)
_FIXED = ("id", "consumer_id", "created_at")
"""Columns of a session that never change: their indexes are left alone."""
_CHANGE_ACCRUAL = accruals.update().where(
    accruals.c.session_id == sa.bindparam("of_session"),
    accruals.c.attempt == sa.bindparam("of_attempt"),
)
_BY = sa.bindparam("by", type_=Duration)
_MOVE_ACCRUALS = (
    accruals.update()
    .where(accruals.c.session_id.in_(sa.select(sessions.c.id).where(LIVE)))
    .values(begins_at=accruals.c.begins_at + _BY, ends_at=accruals.c.ends_at + _BY)
)
_COUNT_WRITE = sessions.update().where(LIVE).values(version=sessions.c.version + 1)


def add_session(connection: sa.Connection, change: Change, sealed: bytes | None) -> Session:
    """Insert a session with all that belongs to it; raises DuplicateSession."""
    row = session_row(change.session) | {"sealed": sealed}
    try:
        connection.execute(sessions.insert(), row)
    except IntegrityError:
        _raise_duplicate(connection, change.session)
        raise
    _write_rest(connection, change)
    return change.session


def commit(connection: sa.Connection, change: Change) -> Session:
    """Write a change over the version it was made from; raises StaleWrite, DuplicateSession."""
    after = replace(change.session, version=change.session.version + 1)
    row = session_row(after)
    if change.forget_confidential:
        row["sealed"] = None
    changed = {name: value for name, value in row.items() if name not in _FIXED}
    read = {"changed_id": after.id, "read_version": change.session.version}
    try:
        written = connection.execute(_CHANGE_SESSION, changed | read)
    except IntegrityError:
        _raise_duplicate(connection, after)
        raise
    if written.rowcount == 0:
        raise StaleWrite
    _write_rest(connection, change)
    return after


def add_event(connection: sa.Connection, event: Event) -> Event:
    """Insert an event that belongs to no change."""
    result = connection.execute(events.insert(), event_row(event))
    (given,) = result.inserted_primary_key or (None,)
    return replace(event, id=given)


def add_failure(connection: sa.Connection, failure: Failure) -> None:
    """Remember an offer that did not work."""
    connection.execute(failures.insert(), to_row(failure))


def prune_failures(connection: sa.Connection, before: datetime) -> None:
    """Forget the failures that are older."""
    connection.execute(failures.delete().where(failures.c.created_at < before))


def save_sightings(connection: sa.Connection, provider: str, seen: Sequence[Sighting]) -> None:
    """Replace everything that was seen at a provider."""
    connection.execute(sightings.delete().where(sightings.c.provider == provider))
    if seen:
        connection.execute(sightings.insert(), [to_row(one) for one in seen])


def prune_carried_out(connection: sa.Connection, before: datetime) -> None:
    """Forget the requests with a key that are older."""
    connection.execute(carried_out.delete().where(carried_out.c.created_at < before))


def set_meta(connection: sa.Connection, key: str, value: str) -> None:
    """Set a value of the database's own."""
    connection.execute(_PUT_META, {"key": key, "value": value})


def take_up_copy(connection: sa.Connection, changes: Sequence[Change], now: datetime) -> None:
    """Write what makes a restored database fit for today; it is no copy any more."""
    for change in changes:
        commit(connection, change)
    connection.execute(sightings.delete())
    connection.execute(meta.delete().where(meta.c.key == COPIED_AT))
    set_meta(connection, RESTORED_AT, now.isoformat())


def follow_clock(connection: sa.Connection, by: timedelta) -> None:
    """Move all meters of live sessions, and count that as a write of each."""
    connection.execute(_MOVE_ACCRUALS, {"by": by})
    connection.execute(_COUNT_WRITE)


def _raise_duplicate(connection: sa.Connection, session: Session) -> None:
    """Raise DuplicateSession where another live session of the consumer has the offer."""
    other = connection.execute(
        sa.select(sessions.c.id).where(
            LIVE,
            sessions.c.consumer_id == session.request.consumer_id,
            sessions.c.offer_id == session.offer.id,
            sessions.c.id != session.id,
        )
    ).scalar()
    if other is not None:
        raise DuplicateSession(other) from None


def _write_rest(connection: sa.Connection, change: Change) -> None:
    if change.attempt is not None:
        connection.execute(_PUT_ATTEMPT, to_row(change.attempt))
    if change.accrual is not None:
        _put_accrual(connection, change.accrual)
    if change.failure is not None:
        add_failure(connection, change.failure)
    if change.carried_out is not None:
        connection.execute(_PUT_CARRIED_OUT, carried_out_row(change.carried_out))
    if change.events:
        connection.execute(events.insert(), [event_row(event) for event in change.events])


def _put_accrual(connection: sa.Connection, accrual: Accrual) -> None:
    row = to_row(accrual)
    of = {"of_session": accrual.session_id, "of_attempt": accrual.attempt}
    changed = {name: value for name, value in row.items() if name != "begins_at"}
    if connection.execute(_CHANGE_ACCRUAL, changed | of).rowcount == 0:
        connection.execute(accruals.insert(), row)
