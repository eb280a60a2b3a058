"""Whether the database takes what is written: since when it does not, and why."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from broker.errors import StoreUnwritable

log = logging.getLogger(__name__)

_CAUSES = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_BUSY: "another process keeps it locked",
    sqlite3.SQLITE_READONLY: "this user may not write it",
    sqlite3.SQLITE_IOERR: "the disk that it is on fails or takes no more",
    sqlite3.SQLITE_CANTOPEN: "its files cannot be opened",
    sqlite3.SQLITE_CORRUPT: "it is damaged",
    sqlite3.SQLITE_NOTADB: "it is damaged",
}
_UNKNOWN = "look after the disk that it is on"
_PRIMARY_CODE = 0xFF


@dataclass(frozen=True, slots=True)
class Outage:
    """The time in which nothing can be written."""

    since: datetime
    why: str

    def __str__(self) -> str:
        return f"the database cannot be written since {self.since:%Y-%m-%dT%H:%M:%SZ}: {self.why}"


class Outages:
    """Remembers whether the last commit failed, and tells the log when that begins and ends."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self.present: Outage | None = None

    def fail(self, error: sa.exc.SQLAlchemyError) -> StoreUnwritable:
        """A commit has failed; what its callers are told."""
        why = _CAUSES.get(_code(error), _UNKNOWN)
        if self.present is None:
            log.error("The database cannot be written: %s. It is tried on and on.", why)
        self.present = Outage(self.present.since if self.present else self._now(), why)
        failed = StoreUnwritable(f"The database cannot be written: {why}.")
        failed.__cause__ = error
        return failed

    def end(self) -> None:
        """Something was written."""
        if self.present is not None:
            log.warning("The database can be written again; %s.", self.present)
        self.present = None


def is_of_the_disk(error: BaseException) -> bool:
    """Whether nothing else could be written either."""
    return _code(error) in _CAUSES


def write_nothing(connection: sa.Connection) -> None:
    """Let the transaction write to the disk, and change nothing by it."""
    connection.exec_driver_sql("INSERT INTO meta (key, value) VALUES ('outage', '')")
    connection.exec_driver_sql("DELETE FROM meta WHERE key = 'outage'")


def _code(error: BaseException) -> int:
    code: int = getattr(getattr(error, "orig", None), "sqlite_errorcode", 0)
    return code & _PRIMARY_CODE
