"""Copies of a database: made while it is written, and put in its place.

A copy is one file, whole, and stamped with the instant of its making. Whoever opens it later,
however it came to be where it is, learns from the stamp that the world has gone on since.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from broker.errors import StartupError
from broker.store.schema import LIVE
from broker.store.soundness import (
    ANOTHER_COPY,
    DAMAGED,
    RESTORE,
    beside,
    check,
    examining,
    is_of_writing,
    refusal,
    refusing,
    require_known,
    require_log,
)

COPIED_AT = "copied_at"
"""The key in `meta` of the instant at which a copy was made, in ISO 8601; only copies have it."""

_STAMP = "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)"
_STAMP_OF = "SELECT value FROM meta WHERE key = ?"
_COUNTS = f"SELECT count(*), count(*) FILTER (WHERE {LIVE}) FROM sessions"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Copy:
    """A sound copy of a database."""

    path: Path
    size: int
    """Bytes."""
    copied_at: datetime
    sessions: int
    live: int
    """Those of them that are not final."""
    revision: str
    """Of its schema."""


def copy_database(source: Path, target: Path, now: datetime) -> Copy:
    """Copy the last commit of `source` to `target`, which is complete or untouched. Blocks.

    Nobody has to wait meanwhile. Raises StartupError, also for what is damaged or not ours.
    """
    target = target.resolve()
    if target.exists() and not target.is_file():
        raise refusal(target, "is no regular file; name another one")
    with refusing(target), _part_of(target) as part:
        copy = _transfer(source, part, target, now, remedy=RESTORE)
        part.replace(target)
        _sync(target.parent)
    return copy


def put_in_place(file: Path, database: Path, now: datetime) -> tuple[Copy, Path | None]:
    """Make the copy in `file` the database; with it comes where the former one is kept. Blocks.

    Nobody may work on `database`, which is the one or the other at every instant. A copy that
    was made without us has no stamp: it is as old as its file. Raises StartupError.
    """
    with refusing(database), _part_of(database) as part:
        copy = _transfer(file, part, database, None, remedy=ANOTHER_COPY)
        require_known(file, copy.revision)
        kept = _keep_aside(database, now) if database.exists() else None
        part.replace(database)
        _sync(database.parent)
    return copy, kept


@contextmanager
def _part_of(target: Path) -> Iterator[Path]:
    """An empty file beside `target`, for its owner alone; gone afterwards, unless it was moved."""
    file, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    os.close(file)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _transfer(
    source: Path, part: Path, target: Path, copied_at: datetime | None, *, remedy: str
) -> Copy:
    """Copy `source` into `part`: one checked file with a stamp, which will be `target`.

    Without `copied_at` the stamp of `source` stays. `remedy` helps where `source` is no good.
    """
    require_log(source, remedy=remedy)
    with (
        refusing(source, remedy=remedy),
        closing(_opened(source)) as from_,
        closing(_connect(part)) as to,
    ):
        from_.execute("PRAGMA schema_version")  # tells whether it can be read at all
        with _blaming(source, target, remedy):
            from_.backup(to)
            to.execute("PRAGMA journal_mode = DELETE")
            revision = check(to, source, is_thorough=True, remedy=remedy)
            if revision is None:
                raise refusal(source, "is empty: there is nothing to copy")
            stamp = copied_at or _stamp_of(to) or _changed_at(source)
            to.execute(_STAMP, (COPIED_AT, stamp.isoformat()))
            sessions, live = to.execute(_COUNTS).fetchone()
    return Copy(target, part.stat().st_size, stamp, sessions, live, revision)


@contextmanager
def _blaming(source: Path, target: Path, remedy: str) -> Iterator[None]:
    """Of what the driver raises, only that its disk takes nothing is the fault of `target`."""
    try:
        yield
    except sqlite3.Error as error:
        if is_of_writing(error):
            with refusing(target):
                raise
        raise refusal(source, DAMAGED.format(remedy=remedy)) from error


def _opened(path: Path) -> sqlite3.Connection:
    """A connection to what exists already."""
    mode = "rw" if os.access(path, os.W_OK) else "ro"
    return sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True, isolation_level=None)


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


def _stamp_of(connection: sqlite3.Connection) -> datetime | None:
    row = connection.execute(_STAMP_OF, (COPIED_AT,)).fetchone()
    return datetime.fromisoformat(row[0]) if row else None


def _changed_at(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _keep_aside(database: Path, now: datetime) -> Path:
    """Give the database a second name, under which it stays; its log may not meet another one."""
    kept = database.with_name(f"{database.stem}-replaced-{now:%Y%m%dT%H%M%SZ}{database.suffix}")
    os.link(database, kept)
    _fold(database, now)
    for suffix in ("-shm", "-wal"):
        if beside(database, suffix).exists():
            beside(database, suffix).rename(beside(kept, suffix))
    return kept


def _fold(database: Path, now: datetime) -> None:
    """Let the file hold all that its log does, and a stamp; a damaged one stays as it is."""
    with suppress(sqlite3.Error, StartupError):
        require_log(database)
        with closing(examining(database)) as connection:
            check(connection, database)
        with closing(_opened(database)) as connection:
            connection.execute(_STAMP, (COPIED_AT, now.isoformat()))
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _sync(folder: Path) -> None:
    """Let a renaming survive the loss of power."""
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
