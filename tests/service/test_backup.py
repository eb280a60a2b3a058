"""Copies of a database: whole, stamped, and put back without losing what was there."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from broker.effects import Effect
from broker.errors import StartupError
from broker.model import Change, Status
from broker.store import Store
from broker.store.backup import copy_database, put_in_place
from tests.builders import LATER, NOW
from tests.service.store_examples import HOUR, add, names_in, opened, session
from tests.service.test_store_opening import STAMP, no_file_can_grow, run_sql
from tests.waiting import eventually


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Where the database of these tests is: that of the store."""
    return tmp_path / "broker.db"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where its copies go, a folder of their own."""
    folder = tmp_path / "copies"
    folder.mkdir()
    return folder / "copy.db"


async def recorded(folder: Path, *numbers: int) -> None:
    """A database with these sessions."""
    async with opened(folder) as store:
        for n in numbers:
            await add(store, session(n))


async def kept_in(file: Path) -> list[str]:
    """The sessions that a database holds, as a store reads them."""
    shutil.copy(file, file.parent / "broker.db")
    async with opened(file.parent) as store:
        return await store.open_ids()


async def live_on(store: Store, *, until: asyncio.Event, written: list[str]) -> None:
    """Record sessions, and end every second one, as long as a copy is made."""
    n = 100
    while not until.is_set():
        n += 1
        of = await add(store, session(n))
        written.append(of.id)
        if n % 2:
            ended = replace(of, status=Status.STOPPED, stopped_at=LATER)
            await store.commit(Change(Effect.CONCLUDE, ended))


async def has_written(written: list[str], least: int) -> bool:
    """Whether there are so many sessions."""
    return len(written) >= least


async def test_a_copy_is_whole_though_the_database_is_written_meanwhile(
    store: Store, database: Path, file: Path
) -> None:
    """What was committed before is in it; it is sound, one file, and for its owner alone."""
    stop, written = asyncio.Event(), list[str]()
    working = asyncio.create_task(live_on(store, until=stop, written=written))
    for round_ in range(5):
        await eventually(partial(has_written, written, 20 * (round_ + 1)))
        before = list(written)
        copy = await asyncio.to_thread(copy_database, database, file, NOW)

        assert ["copy.db"] == names_in(file.parent)
        assert 0o600 == file.stat().st_mode & 0o777
        assert file.stat().st_size == copy.size
        held = {row[0] for row in run_sql(file, "SELECT id FROM sessions")}
        assert set(before) <= held
        assert len(held) == copy.sessions
        assert [("ok",)] == run_sql(file, "PRAGMA integrity_check")
        assert [] == run_sql(file, "PRAGMA foreign_key_check")
        assert [(NOW.isoformat(),)] == run_sql(file, STAMP)
    stop.set()
    await working
    assert [] == run_sql(database, STAMP)


async def test_a_copy_can_be_worked_with(tmp_path: Path, database: Path, file: Path) -> None:
    """Also one of a database that a killed process has left with its log."""
    async with opened(tmp_path) as store:
        await add(store, session(1))
        copy = copy_database(database, file, NOW)
    assert (1, 1, NOW) == (copy.sessions, copy.live, copy.copied_at)
    assert [session(1).id] == await kept_in(file)


async def test_a_copy_that_cannot_be_finished_leaves_what_is_there(
    tmp_path: Path, database: Path, file: Path
) -> None:
    """The former copy is as good as before."""
    await recorded(tmp_path, 1)
    copy_database(database, file, NOW)
    await recorded(tmp_path, *range(2, 60))
    before = file.read_bytes()
    with no_file_can_grow(beyond=100_000), pytest.raises(StartupError, match=str(file)):
        copy_database(database, file, LATER)
    assert before == file.read_bytes()
    assert ["copy.db"] == names_in(file.parent)


async def test_a_copy_in_a_folder_that_is_not_there_is_refused(
    tmp_path: Path, database: Path
) -> None:
    """The message names the file."""
    await recorded(tmp_path, 1)
    target = tmp_path / "missing" / "copy.db"
    with pytest.raises(StartupError, match=f"{target} cannot be made"):
        copy_database(database, target, NOW)


def spoiled(whole: bytes) -> bytes:
    """The middle of a file is nonsense: the pages can be copied, and say nothing."""
    middle = len(whole) // 2
    return whole[:middle] + b"\xff" * 8192 + whole[middle + 8192 :]


def cut(whole: bytes) -> bytes:
    """The end of a file is missing: the pages cannot be copied."""
    return whole[: len(whole) // 2 + 100]


def beheaded(whole: bytes) -> bytes:
    """The first page of a file is nonsense."""
    return b"\xff" * 4096 + whole[4096:]


def misdeclared(whole: bytes) -> bytes:
    """One byte says that nobody may write it: the pages can be copied, and not be worked with."""
    return whole[:18] + b"\x03" + whole[19:]


MISFORTUNES = [spoiled, cut, beheaded, misdeclared]


@pytest.mark.parametrize("misfortune", MISFORTUNES)
async def test_a_database_that_is_damaged_is_blamed_itself(
    tmp_path: Path, database: Path, file: Path, misfortune: Callable[[bytes], bytes]
) -> None:
    """Not the copy that is to be made of it; and a backup is what helps."""
    await recorded(tmp_path, *range(200))
    database.write_bytes(misfortune(database.read_bytes()))
    with pytest.raises(StartupError) as refused:
        copy_database(database, file, NOW)
    assert str(refused.value).startswith(f"The database {database} is ")
    assert "put a backup in its place with `gpu-broker restore FILE`" in str(refused.value)
    assert [] == names_in(file.parent)


@pytest.mark.parametrize("misfortune", MISFORTUNES)
async def test_where_a_copy_is_damaged_another_one_helps(
    tmp_path: Path, database: Path, file: Path, misfortune: Callable[[bytes], bytes]
) -> None:
    """Restoring it again does not; and the database stays as it is."""
    await recorded(tmp_path, *range(200))
    copy_database(database, file, NOW)
    file.write_bytes(misfortune(file.read_bytes()))
    before = database.read_bytes()
    with pytest.raises(StartupError) as refused:
        put_in_place(file, database, NOW)
    assert str(refused.value).startswith(f"The database {file} is ")
    assert str(refused.value).endswith("restore another backup.")
    assert "restore FILE" not in str(refused.value)
    assert before == database.read_bytes()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"Dear Emma, " * 100, "is not a SQLite database"),
        (b"", "is empty"),
    ],
)
async def test_what_is_no_database_of_ours_takes_no_place(
    tmp_path: Path, database: Path, file: Path, content: bytes, why: str
) -> None:
    """Neither as a copy nor as the database."""
    await recorded(tmp_path, 1)
    before = database.read_bytes()
    file.write_bytes(content)
    with pytest.raises(StartupError, match=f"{file} {why}"):
        put_in_place(file, database, NOW)
    assert before == database.read_bytes()
    assert ["broker.db", "copies"] == names_in(tmp_path)


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("DROP TABLE sessions", "belongs to another program"),
        ("DELETE FROM sessions", "is damaged"),
        ("UPDATE alembic_version SET version_num = '9999'", "was written by a newer gpu-broker"),
    ],
)
async def test_a_copy_is_checked_before_it_is_put_in_place(
    tmp_path: Path, database: Path, file: Path, statement: str, why: str
) -> None:
    """What is there stays as it is."""
    await recorded(tmp_path, 1)
    copy_database(database, file, NOW)
    run_sql(file, "PRAGMA foreign_keys = OFF", statement)
    before = database.read_bytes()
    with pytest.raises(StartupError, match=f"{file} {why}"):
        put_in_place(file, database, NOW)
    assert before == database.read_bytes()
    assert ["broker.db", "copies"] == names_in(tmp_path)


async def test_the_former_database_is_kept_whole(
    tmp_path: Path, database: Path, file: Path
) -> None:
    """Also what only its log held; the copy does not meet that log."""
    await recorded(tmp_path, 1)
    copy_database(database, file, NOW)
    killed = tmp_path / "killed"
    killed.mkdir()
    async with opened(tmp_path) as store:
        await add(store, session(2))
        for one in tmp_path.glob("broker.db*"):
            shutil.copy(one, killed)
    copy, kept = put_in_place(file, killed / "broker.db", LATER)

    assert (1, NOW) == (copy.sessions, copy.copied_at)
    assert "broker-replaced-20260301T120030Z.db" == (kept.name if kept else None)
    assert ["broker-replaced-20260301T120030Z.db", "broker.db"] == names_in(killed)
    assert 0o600 == (killed / "broker.db").stat().st_mode & 0o777
    ids = "SELECT id FROM sessions ORDER BY id"
    assert [(session(1).id,)] == run_sql(killed / "broker.db", ids)
    assert kept is not None
    assert [(session(1).id,), (session(2).id,)] == run_sql(kept, ids)
    assert [(LATER.isoformat(),)] == run_sql(kept, STAMP)


async def test_a_damaged_database_is_kept_as_it_is(
    tmp_path: Path, database: Path, file: Path
) -> None:
    """Somebody may still read something out of it."""
    await recorded(tmp_path, *range(200))
    copy_database(database, file, NOW)
    damaged = database.read_bytes()[:30000]
    database.write_bytes(damaged)
    _, kept = put_in_place(file, database, NOW)
    assert kept is not None
    assert damaged == kept.read_bytes()
    async with opened(tmp_path) as store:
        assert 200 == len(await store.open_ids())


async def test_a_copy_may_take_the_place_of_nothing(
    tmp_path: Path, database: Path, file: Path
) -> None:
    """The database was lost."""
    await recorded(tmp_path, 1)
    copy_database(database, file, NOW)
    database.unlink()
    _, kept = put_in_place(file, database, NOW)
    assert kept is None
    assert [(1,)] == run_sql(database, "SELECT count(*) FROM sessions")


async def test_a_copy_without_a_stamp_is_as_old_as_its_file(
    tmp_path: Path, database: Path, file: Path
) -> None:
    """Somebody has copied the file by hand."""
    await recorded(tmp_path, 1)
    shutil.copy(database, file)
    made_at = (NOW - HOUR).timestamp()
    os.utime(file, (made_at, made_at))
    copy, _ = put_in_place(file, database, NOW)
    assert NOW - HOUR == copy.copied_at
    assert [((NOW - HOUR).isoformat(),)] == run_sql(database, STAMP)


async def test_a_copy_of_a_restored_database_tells_its_own_age(
    tmp_path: Path, database: Path, file: Path
) -> None:
    """Not that of the copy before."""
    await recorded(tmp_path, 1)
    copy_database(database, file, NOW)
    put_in_place(file, database, NOW)
    assert LATER == copy_database(database, file, LATER).copied_at


async def test_a_database_in_use_is_copied_by_another_process_at_once(
    store: Store, database: Path, file: Path
) -> None:
    """A transaction under way is waited for by nobody, and is not in the copy."""
    await add(store, session(1))
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE sessions SET consumer_id = 'nobody'")
        copy_database(database, file, NOW)
        other.execute("ROLLBACK")
    assert [("somebody",)] == run_sql(file, "SELECT consumer_id FROM sessions")


async def test_a_database_without_its_log_is_not_copied(tmp_path: Path, file: Path) -> None:
    """Opening it would take away the trace of what is lost."""
    killed = file.parent / "killed"
    killed.mkdir()
    async with opened(tmp_path) as store:
        await add(store, session(1))
        for name in ("broker.db", "broker.db-shm"):
            shutil.copy(tmp_path / name, killed)
    with pytest.raises(StartupError, match=r"has lost broker\.db-wal"):
        copy_database(killed / "broker.db", file, NOW)
    assert ["broker.db", "broker.db-shm"] == names_in(killed)
    assert not file.exists()


async def test_a_copy_takes_no_place_but_that_of_a_file(tmp_path: Path, file: Path) -> None:
    """What a link leads to is written, and the link stays; a device or a pipe is refused."""
    await recorded(tmp_path, 1)
    link, pipe = file.with_name("link.db"), file.with_name("pipe")
    file.touch()
    link.symlink_to(file)
    os.mkfifo(pipe)

    copy_database(tmp_path / "broker.db", link, NOW)
    assert link.is_symlink()
    assert [(1,)] == run_sql(file, "SELECT count(*) FROM sessions")
    with pytest.raises(StartupError, match="is no regular file"):
        copy_database(tmp_path / "broker.db", pipe, NOW)
    assert pipe.is_fifo()
