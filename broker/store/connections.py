"""How the database is connected to: one connection that writes, a few that only read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiosqlite
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from broker.errors import StoreFailed

BUSY_TIMEOUT = 5.0
"""Seconds that a statement waits for another process to let go of the database."""

READERS = 2

_PRAGMAS = ("PRAGMA foreign_keys = ON", "PRAGMA synchronous = FULL")


def writing_engine(path: Path) -> sa.Engine:
    """The one connection that writes; every transaction takes the write lock at its beginning.

    It blocks, and belongs into a thread.
    """
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        # Without an isolation level the driver begins no transaction by itself.
        connect_args={"isolation_level": None, "timeout": BUSY_TIMEOUT},
        hide_parameters=True,  # an error may be logged, what the rows hold may not
        pool_size=1,
        max_overflow=0,
    )
    sa.event.listen(engine, "connect", _prepare)
    sa.event.listen(engine, "begin", begin_immediate)
    return engine


class ReadOnly(sqlite3.Connection):
    """A connection on which every statement reads the last commit, and none can write."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.execute("PRAGMA query_only = ON")


async def reading_connection(path: Path) -> aiosqlite.Connection:
    """One of the connections that only read."""
    return await aiosqlite.connect(
        path, isolation_level=None, timeout=BUSY_TIMEOUT, factory=ReadOnly
    )


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


def _prepare(connection: Any, _record: object) -> None:
    for pragma in _PRAGMAS:
        connection.execute(pragma)
