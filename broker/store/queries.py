"""What is asked of the database. Each query is built and compiled once."""

from __future__ import annotations

import json
from datetime import datetime
from functools import cache
from typing import Any, Final

import sqlalchemy as sa

from broker.model import (
    Accrual,
    Attempt,
    CarriedOut,
    Event,
    Failure,
    Meter,
    Session,
    Sighting,
    Status,
    Version,
    Wanted,
    Watch,
)
from broker.store.columns import Instant
from broker.store.prepared import Prepared
from broker.store.rows import (
    LIVE_ID,
    OF_ACCRUAL,
    OF_ATTEMPT,
    Row,
    field_names,
    to_attempt,
    to_carried_out,
    to_current,
    to_event,
    to_meter,
    to_session,
)
from broker.store.schema import (
    LEASED,
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

NO_LIMIT: Final = -1


_IS_CURRENT = sa.and_(attempts.c.session_id == sessions.c.id, attempts.c.n == sessions.c.attempt)


def _columns(table: sa.Table, kind: type) -> list[sa.Column[Any]]:
    return [table.c[name] for name in field_names(kind)]


def _columns_beside(table: sa.Table, kind: type, prefix: str) -> list[sa.Label[Any]]:
    """The same beside those of a session: told apart by a prefix."""
    return [column.label(f"{prefix}{column.name}") for column in _columns(table, kind)]


def _any_of(parameter: str) -> sa.Select[Any]:
    """The members of a JSON list that is given as one parameter."""
    return sa.select(sa.func.json_each(sa.bindparam(parameter)).table_valued("value").c.value)


_OF_ATTEMPT = {
    "accepted_at": attempts.c.accepted_at,
    "failed_for": attempts.c.reason.label("failed_for"),
    "destroy_accepted_at": attempts.c.destroy_accepted_at,
    "ended_at": attempts.c.ended_at,
}


def _watches() -> sa.Select[Any]:
    columns = [
        _OF_ATTEMPT[name] if name in _OF_ATTEMPT else sessions.c[name]
        for name in field_names(Watch)
    ]
    return sa.select(*columns).select_from(sessions.outerjoin(attempts, _IS_CURRENT))


_instant = sa.bindparam("instant", type_=Instant)
_limit = sa.bindparam("limit", type_=sa.Integer)

META: Prepared[str] = Prepared(
    sa.select(meta.c.value).where(meta.c.key == sa.bindparam("key")),
    lambda row: row["value"],
)

SESSION = Prepared(
    sa.select(*_columns(sessions, Session)).where(sessions.c.id == sa.bindparam("id")),
    to_session,
)

CURRENT = Prepared(
    sa.select(
        *_columns(sessions, Session),
        *_columns_beside(attempts, Attempt, OF_ATTEMPT),
    )
    .join(attempts, _IS_CURRENT)
    .where(sessions.c.id == sa.bindparam("id")),
    to_current,
)

OVERVIEWS: Prepared[Row] = Prepared(
    sa.select(
        *_columns(sessions, Session),
        *_columns_beside(attempts, Attempt, OF_ATTEMPT),
        *_columns_beside(accruals, Accrual, OF_ACCRUAL),
    )
    .select_from(
        sessions.outerjoin(attempts, attempts.c.session_id == sessions.c.id).outerjoin(
            accruals,
            sa.and_(
                accruals.c.session_id == attempts.c.session_id,
                accruals.c.attempt == attempts.c.n,
            ),
        )
    )
    .where(sessions.c.id.in_(_any_of("session_ids")))
    .order_by(sessions.c.id, attempts.c.n, accruals.c.begins_at),
    lambda row: row,
)

LIVE_SESSION: Prepared[str] = Prepared(
    sa.select(sessions.c.id).where(
        LIVE,
        sessions.c.consumer_id == sa.bindparam("consumer_id"),
        sessions.c.offer_id == sa.bindparam("offer_id"),
    ),
    lambda row: row["id"],
)

ATTEMPTS = Prepared(
    sa.select(*_columns(attempts, Attempt))
    .where(attempts.c.session_id.in_(_any_of("session_ids")))
    .order_by(attempts.c.session_id, attempts.c.n),
    to_attempt,
)

VERIFIED = Prepared(
    # Sessions have an index by their creation, attempts have none by their verification.
    sa.select(*_columns(attempts, Attempt))
    .where(
        attempts.c.session_id.in_(
            sa.select(sessions.c.id).where(
                sessions.c.created_at >= sa.bindparam("created", type_=Instant)
            )
        ),
        attempts.c.verified_at >= _instant,
    )
    .order_by(attempts.c.verified_at, attempts.c.session_id, attempts.c.n),
    to_attempt,
)

SEALED: Prepared[bytes | None] = Prepared(
    sa.select(sessions.c.sealed).where(sessions.c.id == sa.bindparam("id")),
    lambda row: row["sealed"],
)

OPEN_IDS: Prepared[str] = Prepared(
    # The plus keeps SQLite from walking through all history in the order of its creation.
    sa.select(sessions.c.id).where(LIVE).order_by(sa.text("+created_at"), sessions.c.id),
    lambda row: row["id"],
)

WATCH_PAGE = Prepared(
    _watches()
    .where(LIVE, sessions.c.id > sa.bindparam("after"))
    .order_by(sessions.c.id)
    .limit(_limit),
    lambda row: Watch(**row),
)

RESTLESS = Prepared(
    _watches().where(
        LIVE,
        sa.or_(
            sessions.c.status != Status.RUNNING,
            sessions.c.wanted == Wanted.GONE,
            sessions.c.lease_ends_at <= _instant,
            attempts.c.reason.is_not(None),
        ),
    ),
    lambda row: Watch(**row),
)

WATCHED_FOR_IDLENESS = Prepared(
    _watches().where(LIVE, sessions.c.idle_threshold.is_not(None)),
    lambda row: Watch(**row),
)

DUE = Prepared(
    _watches()
    .where(LEASED, sessions.c.lease_ends_at <= _instant)
    .order_by(sessions.c.lease_ends_at, sessions.c.id),
    lambda row: Watch(**row),
)

NEXT_DUE: Prepared[datetime] = Prepared(
    sa.select(sessions.c.lease_ends_at).where(LEASED).order_by(sessions.c.lease_ends_at).limit(1),
    lambda row: row["lease_ends_at"],
)

HOLDERS_OF_INSTANCES: Prepared[str] = Prepared(
    sa.select(sessions.c.id).where(
        LIVE,
        sessions.c.provider == sa.bindparam("provider"),
        sessions.c.instance_id.in_(_any_of("instance_ids")),
    ),
    lambda row: row["id"],
)

HOLDINGS: Prepared[Row] = Prepared(
    sa.select(
        sessions.c.id,
        sessions.c.status,
        sessions.c.attempt,
        sessions.c.instance_id,
        attempts.c.n,
        attempts.c.ended_at,
        attempts.c.gone_at,
        attempts.c.tombstone_until,
    )
    .select_from(sessions.outerjoin(attempts, attempts.c.session_id == sessions.c.id))
    .where(sessions.c.id.in_(_any_of("session_ids"))),
    lambda row: row,
)

COUNTS: Prepared[tuple[str, Status, int]] = Prepared(
    sa.select(sessions.c.provider, sessions.c.status, sa.func.count().label("count")).group_by(
        sessions.c.status, sessions.c.provider
    ),
    lambda row: (row["provider"], row["status"], row["count"]),
)

LIVE_EVENTS = Prepared(
    sa.select(*_columns(events, Event))
    .join(sessions, sessions.c.id == events.c.session_id)
    .where(LIVE, events.c.type.in_(_any_of("types")))
    .order_by(events.c.id),
    to_event,
)

WITH_WATCHDOG = Prepared(
    sa.select(*_columns(sessions, Session)).where(
        LEASED, sa.func.json_extract(sessions.c.request, "$.watchdog") == 1
    ),
    to_session,
)

FAILURES = Prepared(
    sa.select(*_columns(failures, Failure))
    .where(failures.c.created_at >= _instant)
    .order_by(failures.c.created_at, failures.c.id),
    lambda row: Failure(**row),
)

CARRIED_OUT = Prepared(
    sa.select(*_columns(carried_out, CarriedOut)).where(
        carried_out.c.key == sa.bindparam("key"), carried_out.c.created_at >= _instant
    ),
    to_carried_out,
)

SIGHTINGS = Prepared(
    sa.select(*_columns(sightings, Sighting))
    .where(sightings.c.provider == sa.bindparam("provider"))
    .order_by(sightings.c.instance_id),
    lambda row: Sighting(**row),
)

PROVIDERS_OF_STRAYS: Prepared[str] = Prepared(
    sa.union(
        sa.select(sightings.c.provider.label("provider")),
        sa.select(sa.func.json_extract(attempts.c.offer, "$.provider").label("provider")).where(
            attempts.c.tombstone_until > _instant
        ),
    ),
    lambda row: row["provider"],
)

_SESSION_FILTERS = {
    "consumer_id": sessions.c.consumer_id == sa.bindparam("consumer_id"),
    "provider": sessions.c.provider == sa.bindparam("provider"),
    "statuses": sessions.c.status.in_(_any_of("statuses")),
}

_EVENT_FILTERS = {
    "after": events.c.id > sa.bindparam("after"),
    "session_id": events.c.session_id == sa.bindparam("session_id"),
}

_METER_FILTERS = {
    "consumer_id": sessions.c.consumer_id == sa.bindparam("consumer_id"),
}

_ACCRUAL_FILTERS = {
    "consumer_id": accruals.c.consumer_id == sa.bindparam("consumer_id"),
    "session_id": accruals.c.session_id == sa.bindparam("session_id"),
    "session_ids": accruals.c.session_id.in_(_any_of("session_ids")),
    "begins_before": accruals.c.begins_at < sa.bindparam("begins_before", type_=Instant),
    "ends_after": sa.or_(
        accruals.c.ends_at.is_(None),
        accruals.c.ends_at > sa.bindparam("ends_after", type_=Instant),
    ),
}


@cache
def versions_where(filters: frozenset[str]) -> Prepared[tuple[list[Version], int]]:
    """A page of sessions, newest first, and how many there are on all pages: one row.

    For every row the driver's thread and the event loop fight for the interpreter.
    """
    conditions = [_SESSION_FILTERS[name] for name in filters]
    page = (
        sa.select(sessions.c.id, sessions.c.version)
        .where(*conditions)
        .order_by(sessions.c.created_at.desc(), sessions.c.id)
        .limit(_limit)  # with a limit the order of a subquery holds for who reads it
        .offset(sa.bindparam("offset", type_=sa.Integer))
        .subquery()
    )
    listed = sa.func.json_group_array(sa.func.json_array(page.c.id, page.c.version))
    total = sa.select(sa.func.count()).select_from(sessions).where(*conditions).scalar_subquery()
    return Prepared(
        sa.select(listed.label("page"), total.label("total")).select_from(page),
        lambda row: ([Version(*pair) for pair in json.loads(row["page"])], row["total"]),
    )


@cache
def events_where(filters: frozenset[str]) -> Prepared[Event]:
    """Events in the order of their ids."""
    return Prepared(
        sa.select(*_columns(events, Event))
        .where(*(_EVENT_FILTERS[name] for name in filters))
        .order_by(events.c.id)
        .limit(_limit),
        to_event,
    )


@cache
def accruals_where(filters: frozenset[str]) -> Prepared[Accrual]:
    """Accruals in the order of their beginning."""
    return Prepared(
        sa.select(*_columns(accruals, Accrual))
        .where(*(_ACCRUAL_FILTERS[name] for name in filters))
        .order_by(accruals.c.begins_at, accruals.c.session_id, accruals.c.attempt),
        lambda row: Accrual(**row),
    )


@cache
def meters_where(filters: frozenset[str]) -> Prepared[Meter]:
    """Every live session with each of its accruals."""
    billed = sa.and_(
        attempts.c.session_id == accruals.c.session_id, attempts.c.n == accruals.c.attempt
    )
    return Prepared(
        sa.select(sessions.c.id.label(LIVE_ID), attempts.c.gone_at, *_columns(accruals, Accrual))
        .select_from(
            sessions.outerjoin(accruals, accruals.c.session_id == sessions.c.id).outerjoin(
                attempts, billed
            )
        )
        .where(LIVE, *(_METER_FILTERS[name] for name in filters))
        .order_by(sessions.c.id, accruals.c.begins_at),
        to_meter,
    )
