"""A database that a newer program wrote: refused, and left to it as it is."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.service.test_store_opening import made, refusal, run_sql

NEWER = "UPDATE alembic_version SET version_num = '9999'"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the database of these tests is."""
    return tmp_path / "broker.db"


def kept_in(folder: Path) -> dict[str, bytes]:
    """What a database consists of. Its index says nothing: whoever reads makes it anew."""
    files = folder.glob("broker.db*")
    return {one.name: one.read_bytes() for one in files if not one.name.endswith("-shm")}


async def left_with_its_log(file: Path, tmp_path: Path) -> None:
    """A database as a killed process leaves it: what was written last is in its log."""
    killed = tmp_path / "killed"
    killed.mkdir()
    await made(file)
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute(NEWER)
        for name in ("broker.db", "broker.db-wal", "broker.db-shm"):
            shutil.copy(tmp_path / name, killed)
    for name in ("broker.db", "broker.db-wal", "broker.db-shm"):
        shutil.copy(killed / name, tmp_path)


async def closed_well(file: Path, _: Path) -> None:
    """A database whose log is folded into it."""
    await made(file)
    run_sql(file, NEWER)


async def moved_there(file: Path, _: Path) -> None:
    """A copy, which has another kind of log than a database at work."""
    await closed_well(file, file)
    run_sql(file, "PRAGMA journal_mode = DELETE")


@pytest.mark.parametrize("leave", [closed_well, left_with_its_log, moved_there])
async def test_what_a_newer_program_wrote_is_refused(
    file: Path, tmp_path: Path, leave: Callable[[Path, Path], Awaitable[None]]
) -> None:
    """And no byte of it is touched, so that the newer program goes on as if nothing had been."""
    await leave(file, tmp_path)
    before = kept_in(tmp_path)
    assert "written by a newer gpu-broker" in await refusal(file)
    assert before == kept_in(tmp_path)
