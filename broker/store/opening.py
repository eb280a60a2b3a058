"""Makes a database ready before anybody works with it: made, checked, backed up, migrated."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import datetime
from functools import partial
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from broker.store.backup import copy_database
from broker.store.connections import BUSY_TIMEOUT, begin_immediate
from broker.store.schema import HEAD, meta
from broker.store.soundness import check, examining, refusal, refusing, require_known, require_log

CREATED_AT = "created_at"
"""The key in `meta` of the instant at which the database was made, in ISO 8601."""


def prepare(path: Path, now: datetime, *, may_migrate: bool = True) -> None:
    """Leave a sound database of the present schema at `path`; raises StartupError. Blocks."""
    with refusing(path):
        require_log(path)
        _ensure_file(path)
        revision = _examine(path, may_migrate=may_migrate)
        try_writing(path)
        _ensure_log(path)
        if revision == HEAD:
            return
        if revision is not None:
            copy_database(path, path.with_name(f"{path.stem}-before-{HEAD}.db"), now)
        _migrate(path, now)


def _examine(path: Path, *, may_migrate: bool) -> str | None:
    """The revision of a database that may be worked with; what is refused stays as it is."""
    with closing(examining(path)) as connection:
        revision = check(connection, path)
    if revision != HEAD and not may_migrate:
        raise refusal(path, "is in use by another version of gpu-broker; stop that one first")
    if revision not in {HEAD, None}:
        require_known(path, revision)
    return revision


def _ensure_file(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Never opened when it exists: closing it would end the locks of this process on it.
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)


def try_writing(path: Path) -> None:
    """Raise sqlite3.Error where nothing can be written; nothing is. Blocks."""
    with closing(_connect(path)) as connection:
        # A transaction may begin on what cannot be written; only the write itself tells.
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("PRAGMA user_version = 0")
        connection.execute("ROLLBACK")


def _ensure_log(path: Path) -> None:
    with closing(_connect(path)) as connection:
        if connection.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
            raise refusal(path, "cannot have a write-ahead log there; put it on a local disk")


def _migrate(path: Path, now: datetime) -> None:
    from broker.store.migrate import migrate  # noqa: PLC0415 - Alembic is slow to import

    engine = sa.create_engine("sqlite://", creator=partial(_connect, path), poolclass=NullPool)
    sa.event.listen(engine, "begin", begin_immediate)
    with engine.begin() as connection:
        migrate(connection)
        made = meta.insert().prefix_with("OR IGNORE")
        connection.execute(made, {"key": CREATED_AT, "value": now.isoformat()})
        if connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
            raise refusal(path, "could not be migrated; install the former gpu-broker")
