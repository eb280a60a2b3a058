"""Values to rows and rows to values. A column has the name of the field that it holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any, TypeAlias

from broker.decide.lease import due_at
from broker.model import (
    Accrual,
    Attempt,
    CarriedOut,
    Event,
    Failure,
    Holder,
    Meter,
    Overview,
    Session,
    Sighting,
)
from broker.store.codec import ACCESS, ANSWER, EVENT_DATA, OFFER, REQUEST

Row: TypeAlias = dict[str, Any]
"""Column -> value, as it is before the column's type encodes it, or after it was decoded."""

OF_ATTEMPT, OF_ACCRUAL = "attempt_", "accrual_"
"""Before the columns of an attempt or an accrual, where they stand beside those of a session."""

LIVE_ID = "live_id"
"""The id of a live session, where an accrual stands beside it."""


def field_names(kind: type[Any]) -> tuple[str, ...]:
    """The names of a dataclass's fields."""
    return tuple(field.name for field in fields(kind))


def to_row(value: Attempt | Accrual | Failure | Sighting) -> Row:
    """The row of a value whose fields are columns."""
    row = {name: getattr(value, name) for name in field_names(type(value))}
    return row | {"offer": OFFER.encode(value.offer)} if isinstance(value, Attempt) else row


def session_row(session: Session) -> Row:
    """The row of a session, with the columns that are there for the sake of queries."""
    return {name: getattr(session, name) for name in field_names(Session)} | {
        "request": REQUEST.encode(session.request),
        "offer": OFFER.encode(session.offer),
        "access": ACCESS.encode(session.access),
        "consumer_id": session.request.consumer_id,
        "provider": session.offer.provider,
        "offer_id": session.offer.id,
        "lease_ends_at": due_at(session),
        "idle_threshold": session.request.idle_threshold,
        "managed_access": session.request.managed_access,
    }


def event_row(event: Event) -> Row:
    """The row of an event, without the id, which the database gives."""
    return {
        "type": event.type,
        "created_at": event.created_at,
        "session_id": event.session_id,
        "data": EVENT_DATA.encode(dict(event.data)),
    }


def carried_out_row(carried_out: CarriedOut) -> Row:
    """The row of a request that was carried out."""
    row = {name: getattr(carried_out, name) for name in field_names(CarriedOut)}
    return row | {"answer": ANSWER.encode(dict(carried_out.answer))}


def to_session(row: Row) -> Session:
    """The session in a row of its fields."""
    structured = {
        "request": REQUEST.decode(row["request"]),
        "offer": OFFER.decode(row["offer"]),
        "access": ACCESS.decode(row["access"]),
    }
    return Session(**(row | structured))


def to_attempt(row: Row) -> Attempt:
    """The attempt in a row of its fields."""
    return Attempt(**(row | {"offer": OFFER.decode(row["offer"])}))


def to_current(row: Row) -> tuple[Session, Attempt]:
    """The session and its current attempt, in a row of both."""
    own = _taken(row, _ATTEMPT)
    return to_session(row), to_attempt(own)


def to_overviews(rows: Iterable[Row]) -> dict[str, Overview]:
    """Overviews by session id, from rows of sessions, joined with attempts, joined with accruals.

    The rows of one session stand in the order of its attempts.
    """
    seen: dict[str, Overview] = {}
    for row in rows:
        attempt, accrual = _taken(row, _ATTEMPT), _taken(row, _ACCRUAL)
        last = seen.get(row["id"]) or Overview(to_session(row), (), ())
        is_next = attempt["n"] is not None and attempt["n"] != _last_number(last)
        seen[row["id"]] = Overview(
            last.session,
            (*last.attempts, to_attempt(attempt)) if is_next else last.attempts,
            last.accruals if accrual["attempt"] is None else (*last.accruals, Accrual(**accrual)),
        )
    return seen


def _last_number(overview: Overview) -> int | None:
    return overview.attempts[-1].n if overview.attempts else None


def _taken(row: Row, columns: Mapping[str, str]) -> Row:
    """The row of another value, out of the row of a session."""
    return {name: row.pop(column) for column, name in columns.items()}


_ATTEMPT = {f"{OF_ATTEMPT}{name}": name for name in field_names(Attempt)}
_ACCRUAL = {f"{OF_ACCRUAL}{name}": name for name in field_names(Accrual)}


def to_event(row: Row) -> Event:
    """The event in a row of its fields."""
    return Event(**(row | {"data": EVENT_DATA.decode(row["data"])}))


def to_carried_out(row: Row) -> CarriedOut:
    """The request that was carried out, in a row of its fields."""
    return CarriedOut(**(row | {"answer": ANSWER.decode(row["answer"])}))


def to_meter(row: Row) -> Meter:
    """The meter in a row of a live session, one of its accruals, and the end of that's instance."""
    session_id, gone_at = row.pop(LIVE_ID), row.pop("gone_at")
    if row["session_id"] is None:
        return Meter(session_id)
    return Meter(session_id, Accrual(**row), is_running=gone_at is None)


def to_holders(rows: Iterable[Row]) -> dict[str, Holder]:
    """Holders by session id, from rows of a session joined with each of its attempts."""
    held: dict[str, Row] = {}
    closed: set[str] = set()
    tombstones: dict[str, dict[int, datetime]] = {}
    gone_at: dict[str, dict[int, datetime]] = {}
    for row in rows:
        held[row["id"]] = row
        if row["n"] == row["attempt"] and row["ended_at"] is not None:
            closed.add(row["id"])
        if row["tombstone_until"] is not None:
            tombstones.setdefault(row["id"], {})[row["n"]] = row["tombstone_until"]
        if row["gone_at"] is not None:
            gone_at.setdefault(row["id"], {})[row["n"]] = row["gone_at"]
    return {
        session_id: Holder(
            session_id=session_id,
            status=row["status"],
            attempt=row["attempt"],
            instance_id=row["instance_id"],
            is_closed=session_id in closed,
            tombstones=tombstones.get(session_id, {}),
            gone_at=gone_at.get(session_id, {}),
        )
        for session_id, row in held.items()
    }
