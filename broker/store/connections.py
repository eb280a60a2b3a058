"""How the database is connected to: one connection that writes, a few that only read."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from broker.errors import StoreFailed

BUSY_TIMEOUT = 5.0
"""Seconds that a statement waits for another process to let go of the database."""

READERS = 4


def writing_engine(path: Path) -> AsyncEngine:
    """The one connection that writes; every transaction takes the write lock at its beginning."""
    engine = _engine(path, size=1)
    sa.event.listen(engine.sync_engine, "begin", begin_immediate)
    return engine


def reading_engine(path: Path) -> AsyncEngine:
    """Connections on which every statement reads the last commit, and none can write."""
    # There is never a transaction to roll back when one of them is given back.
    return _engine(path, "PRAGMA query_only = ON", size=READERS, pool_reset_on_return=None)


def begin_immediate(connection: sa.Connection) -> None:
    """Begin a transaction that nobody can overtake between its reading and its writing."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def failing_as_store_failed() -> Iterator[None]:
    """Turn what the driver raises into StoreFailed."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise StoreFailed from error


def _engine(path: Path, *pragmas: str, size: int, **options: Any) -> AsyncEngine:
    engine = create_async_engine(
        sa.URL.create("sqlite+aiosqlite", database=str(path)),
        # Without an isolation level the driver begins no transaction by itself.
        connect_args={"isolation_level": None, "timeout": BUSY_TIMEOUT},
        hide_parameters=True,  # an error may be logged, what the rows hold may not
        pool_size=size,
        max_overflow=0,
        **options,
    )
    durable = ("PRAGMA foreign_keys = ON", "PRAGMA synchronous = FULL")
    sa.event.listen(engine.sync_engine, "connect", _executing(*durable, *pragmas))
    return engine


def _executing(*statements: str) -> Callable[[Any, object], None]:
    def execute(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement)
        cursor.close()

    return execute
