"""The database of a broker, copied and put back: beside a server, or without one."""

from __future__ import annotations

from pathlib import Path

from broker.clock import utcnow
from broker.config import Settings
from broker.errors import StartupError
from broker.store.backup import Copy, copy_database, put_in_place
from broker.store.lock import DatabaseLock


def back_up(settings: Settings, file: Path) -> Copy:
    """Copy the database to `file`, in the place of what is there. Raises StartupError."""
    database = settings.database_path
    if not database.exists():
        raise StartupError(f"There is no database at {database}; name another with --database.")
    _require_another(file, database)
    return copy_database(database, file, utcnow())


def restore(settings: Settings, file: Path) -> tuple[Copy, Path | None]:
    """Put the copy in `file` in the place of the database, and say where that is kept.

    Raises LockHeld while a server works on it, and StartupError.
    """
    database = settings.database_path
    if not file.exists():
        raise StartupError(f"There is no {file} to restore.")
    lock = DatabaseLock.acquire(database, "")
    try:
        _require_another(file, database)
        return put_in_place(file, database, utcnow())
    finally:
        lock.release()


def _require_another(file: Path, database: Path) -> None:
    if file.exists() and database.exists() and file.samefile(database):
        raise StartupError(f"{file} is the database itself; name another file.")
