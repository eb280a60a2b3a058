"""One server or sweep at a time works on a database.

The lock is the kernel's and ends with the process that took it, however that ends. What
the file holds tells others whom to ask.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from broker.errors import StartupError

_TRIES = 10
_LONGEST = 10_000
_PAUSE = 0.02
"""Seconds between two tries. A look at the file keeps it locked for a moment, too."""


@dataclass(frozen=True, slots=True)
class LockOwner:
    """Who works on a database."""

    pid: int
    url: str
    """Where its API listens; empty where it has none."""


_UNKNOWN = LockOwner(0, "")
"""Between the taking of the lock and the writing of the file."""


class LockHeld(Exception):
    """Another process works on this database."""

    def __init__(self, url: str, pid: int) -> None:
        super().__init__(f"Process {pid} works on this database.")
        self.url = url
        self.pid = pid


class DatabaseLock:
    """Held from `acquire` to `release`."""

    def __init__(self, file: int) -> None:
        self._file = file

    @classmethod
    def acquire(cls, path: Path, url: str) -> DatabaseLock:
        """Take the lock of the database at `path`; `url` is where its owner's API listens.

        Raises LockHeld, and StartupError where no file can be made there.
        """
        file = _open(path)
        for _ in range(_TRIES):
            if _try_lock(file, fcntl.LOCK_EX):
                _write(file, LockOwner(os.getpid(), url))
                return cls(file)
            time.sleep(_PAUSE)
        owner = _read(file)
        os.close(file)
        raise LockHeld(owner.url, owner.pid)

    @staticmethod
    def holder(path: Path) -> LockOwner | None:
        """Who holds the lock of the database at `path`; None where nobody does."""
        try:
            file = os.open(_beside(path), os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            return None if _try_lock(file, fcntl.LOCK_SH) else _read(file)
        finally:
            os.close(file)

    def announce(self, url: str) -> None:
        """Tell others where the owner's API listens, now that it does."""
        _write(self._file, LockOwner(os.getpid(), url))

    def release(self) -> None:
        """Let others work on the database. The file stays: taking it away would split the lock."""
        os.ftruncate(self._file, 0)
        os.close(self._file)


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(_beside(path), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StartupError(
            f"The lock {_beside(path)} cannot be made ({error.strerror}); "
            "name a database in a folder that this user may write."
        ) from error


def _try_lock(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(file: int, owner: LockOwner) -> None:
    os.ftruncate(file, 0)
    os.pwrite(file, json.dumps(asdict(owner)).encode(), 0)


def _read(file: int) -> LockOwner:
    try:
        return LockOwner(**json.loads(os.pread(file, _LONGEST, 0)))
    except (ValueError, TypeError):
        return _UNKNOWN
