"""Looks at a database that nobody works on, and leaves it as it is."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from broker.store.opening import try_writing
from broker.store.schema import HEAD, LIVE
from broker.store.soundness import (
    check,
    examining,
    refusal,
    refusing,
    require_known,
    require_log,
)

_ROOM = 1_048_576
"""Bytes that a disk must take for a database to be worked with: its log has to grow."""
_LIVE = f"SELECT provider, count(*) FROM sessions WHERE {LIVE} GROUP BY provider"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Contents:
    """What a sound database holds."""

    sessions: int
    live: Mapping[str, int]
    """Provider -> sessions that are not final."""
    meta: Mapping[str, str]
    """What it remembers of its own."""


def look_into(path: Path) -> Contents:
    """What the database at `path` holds. Raises StartupError where it is no good. Blocks."""
    require_log(path)
    with refusing(path), closing(examining(path)) as connection:
        revision = check(connection, path)
        if revision is None:
            return Contents(0, {}, {})
        if revision != HEAD:
            require_known(path, revision)
        (sessions,) = connection.execute("SELECT count(*) FROM sessions").fetchone()
        live, meta = (
            dict(connection.execute(query).fetchall())
            for query in (_LIVE, "SELECT key, value FROM meta")
        )
        return Contents(sessions, live, meta)


def require_writable(path: Path) -> None:
    """Raise StartupError where a server could not write the database at `path`. Blocks.

    Only for when none works on it: that one knows by itself.
    """
    with refusing(path):
        _take_room(path)
        try_writing(path)


def _take_room(path: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=path.parent) as file:
            file.write(bytes(_ROOM))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise
        why = f"cannot be written ({error.strerror}); let this user write {path.parent}"
        raise refusal(path, why) from error
