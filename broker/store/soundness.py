"""Whether a file is a sound database of ours, and what a user is told where it is not."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from broker.errors import StartupError

RESTORE = (
    "put a backup in its place with `gpu-broker restore FILE`, which keeps what is there, or move "
    "it away"
)
"""What helps where the database is no good."""
ANOTHER_COPY = "restore another backup"
"""What helps where a copy is no good."""

DAMAGED = "is damaged; {remedy}"
_REFUSALS = {
    sqlite3.SQLITE_NOTADB: "is not a SQLite database; name another file, or {remedy}",
    sqlite3.SQLITE_CORRUPT: DAMAGED,
    sqlite3.SQLITE_FULL: "cannot be written, because the disk is full; make room",
    sqlite3.SQLITE_BUSY: "is locked by another process; end that one first",
    sqlite3.SQLITE_READONLY: "cannot be written; give this user the right to write it",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; name a file in a folder that this user may write",
}
_UNUSABLE = "cannot be used; look after the disk that it is on"
_OF_WRITING = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})
_OF_READING = frozenset(
    {sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS}
)
_PRIMARY_CODE = 0xFF
_OURS = frozenset({"alembic_version", "meta", "sessions"})


def examining(path: Path) -> sqlite3.Connection:
    """A connection to what exists that changes no byte of it, not even by its end.

    Raises StartupError where it is no file, sqlite3.Error where it cannot be read. Blocks.
    """
    if path.is_dir():
        raise refusal(path, _REFUSALS[sqlite3.SQLITE_CANTOPEN])
    if beside(path, "-journal").exists():
        mode = "rw"  # a change that was broken off has to be undone before anybody can read
    else:
        # Without a log nothing else is read than the file; a reader of both makes files beside it.
        mode = "ro" if beside(path, "-wal").exists() else "ro&immutable=1"
    return sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True, isolation_level=None)


def check(
    connection: sqlite3.Connection,
    path: Path,
    *,
    is_thorough: bool = False,
    remedy: str = RESTORE,
) -> str | None:
    """The revision of a sound database of ours; None where it is empty. Raises StartupError.

    A thorough check compares every index with its table as well, which takes several times as long.
    """
    damage = DAMAGED.format(remedy=remedy)
    pragma = "integrity_check" if is_thorough else "quick_check"
    if connection.execute(f"PRAGMA {pragma}(1)").fetchone() != ("ok",):
        raise refusal(path, damage)
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if not tables:
        return None
    if not tables >= _OURS:
        raise refusal(path, "belongs to another program; name another file")
    if connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
        raise refusal(path, damage)
    revisions = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    return ",".join(revision for (revision,) in revisions)


def beside(path: Path, suffix: str) -> Path:
    """A file that SQLite keeps beside a database: `-wal`, `-shm`."""
    return path.with_name(path.name + suffix)


def require_known(path: Path, revision: str) -> None:
    """Raise StartupError for what a newer program wrote."""
    from broker.store.migrate import is_known  # noqa: PLC0415 - Alembic is slow to import

    if not is_known(revision):
        raise refusal(
            path, "was written by a newer gpu-broker; install that one, or name another file"
        )


def require_log(path: Path, *, remedy: str = RESTORE) -> None:
    """Raise StartupError for a database whose log is missing, before anything opens it.

    SQLite would go on without what was written last, and even a reader takes away the trace.
    """
    log, index = beside(path, "-wal"), beside(path, "-shm")
    if path.exists() and index.exists() and not log.exists():
        raise refusal(
            path,
            f"has lost {log.name}, and with it what was written last; put that back, or remove "
            f"{index.name} to go on with what is left, or {remedy}",
        )


@contextmanager
def refusing(path: Path, *, remedy: str = RESTORE) -> Iterator[None]:
    """Turn what the disk and the driver raise about the file at `path` into StartupError."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise refusal(path, _REFUSALS[sqlite3.SQLITE_FULL]) from error
        why = f"cannot be made ({error.strerror}); name a file in a folder that this user may write"
        raise refusal(path, why) from error
    except sqlite3.Error as error:
        raise _explained(path, error, remedy) from error
    except DBAPIError as error:
        raise _explained(path, error.orig, remedy) from error


def is_of_writing(error: sqlite3.Error) -> bool:
    """Whether a disk, or a folder, takes nothing more; else it is what was read that is no good."""
    code = getattr(error, "sqlite_errorcode", 0)
    return code & _PRIMARY_CODE in _OF_WRITING and code not in _OF_READING


def refusal(path: Path, why: str) -> StartupError:
    """What a user is told about the database at `path`."""
    return StartupError(f"The database {path} {why}.")


def _explained(path: Path, error: BaseException | None, remedy: str) -> StartupError:
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE
    return refusal(path, _REFUSALS.get(code, _UNUSABLE).format(remedy=remedy))
