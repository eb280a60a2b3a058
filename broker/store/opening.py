"""Makes a database ready before anybody works with it: made, checked, backed up, migrated."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from broker.errors import StartupError
from broker.store.backup import copy_database
from broker.store.connections import BUSY_TIMEOUT, begin_immediate
from broker.store.schema import HEAD, meta

CREATED_AT = "created_at"
"""The key in `meta` of the instant at which the database was made, in ISO 8601."""

_REFUSALS = {
    sqlite3.SQLITE_NOTADB: "is not a SQLite database; name another file, or move it away",
    sqlite3.SQLITE_CORRUPT: "is damaged; put a backup in its place, or move it away",
    sqlite3.SQLITE_FULL: "cannot be written, because the disk is full; make room",
    sqlite3.SQLITE_BUSY: "is locked by another process; end that one first",
    sqlite3.SQLITE_READONLY: "cannot be written; give this user the right to write it",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; name a file in a folder that this user may write",
}
_UNUSABLE = "cannot be used; look after the disk that it is on"
_PRIMARY_CODE = 0xFF


def prepare(path: Path, now: datetime, *, may_migrate: bool = True) -> None:
    """Leave a sound database of the present schema at `path`; raises StartupError. Blocks."""
    with _refusing(path):
        _ensure_file(path)
        with closing(_connect(path)) as connection:
            revision = _check(connection, path)
            _try_writing(connection)
            _ensure_log(connection, path)
        if revision == HEAD:
            return
        if not may_migrate:
            raise _refusal(path, "is in use by another version of gpu-broker; stop that one first")
        if revision is not None:
            _keep_copy(path, revision)
        _migrate(path, now)


def _ensure_file(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Never opened when it exists: closing it would end the locks of this process on it.
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)


def _check(connection: sqlite3.Connection, path: Path) -> str | None:
    """The revision of a sound database of ours; None where it is empty."""
    if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
        raise _refusal(path, _REFUSALS[sqlite3.SQLITE_CORRUPT])
    if connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
        raise _refusal(path, _REFUSALS[sqlite3.SQLITE_CORRUPT])
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if not tables:
        return None
    if not {"alembic_version", "meta", "sessions"} <= tables:
        raise _refusal(path, "belongs to another program; name another file")
    revisions = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    return ",".join(revision for (revision,) in revisions)


def _try_writing(connection: sqlite3.Connection) -> None:
    # A transaction may begin on what cannot be written; only the write itself tells.
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("PRAGMA user_version = 0")
    connection.execute("ROLLBACK")


def _ensure_log(connection: sqlite3.Connection, path: Path) -> None:
    if connection.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
        raise _refusal(path, "cannot have a write-ahead log there; put it on a local disk")


def _keep_copy(path: Path, revision: str) -> None:
    """Refuse what a newer program wrote; copy everything else before it is changed."""
    from broker.store.migrate import is_known  # noqa: PLC0415 - Alembic is slow to import

    if not is_known(revision):
        raise _refusal(
            path, "was written by a newer gpu-broker; install that one, or name another file"
        )
    copy_database(path, path.with_name(f"{path.stem}-before-{HEAD}.db"))


def _migrate(path: Path, now: datetime) -> None:
    from broker.store.migrate import migrate  # noqa: PLC0415 - Alembic is slow to import

    engine = sa.create_engine("sqlite://", creator=partial(_connect, path), poolclass=NullPool)
    sa.event.listen(engine, "begin", begin_immediate)
    with engine.begin() as connection:
        migrate(connection)
        made = meta.insert().prefix_with("OR IGNORE")
        connection.execute(made, {"key": CREATED_AT, "value": now.isoformat()})
        if connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
            raise _refusal(path, "could not be migrated; install the former gpu-broker")


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise _refusal(path, _REFUSALS[sqlite3.SQLITE_FULL]) from error
        why = f"cannot be made ({error.strerror}); name a file in a folder that this user may write"
        raise _refusal(path, why) from error
    except sqlite3.Error as error:
        raise _explained(path, error) from error
    except DBAPIError as error:
        raise _explained(path, error.orig) from error


def _explained(path: Path, error: BaseException | None) -> StartupError:
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE
    return _refusal(path, _REFUSALS.get(code, _UNUSABLE))


def _refusal(path: Path, why: str) -> StartupError:
    return StartupError(f"The database {path} {why}.")
