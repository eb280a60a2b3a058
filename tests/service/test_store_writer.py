"""The one writer, and the readers beside it: what is acknowledged is durable, nobody is held up."""

from __future__ import annotations

import asyncio
import json
import re
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from broker.effects import Effect
from broker.errors import StoreFailed, StoreUnwritable
from broker.model import Change, Status
from broker.store import Store
from broker.store.connections import READERS
from broker.store.prepared import Prepared
from tests.service.store_examples import add, names_in, opened, session
from tests.waiting import eventually

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store on a fresh database."""
    async with opened(tmp_path) as one:
        yield one


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where that database is."""
    return tmp_path / "broker.db"


@contextmanager
def no_file_grows_beyond(size: int) -> Iterator[None]:
    """What a full disk does to a writer, for this process alone."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_hundred_writes_at_once_are_one_transaction(store: Store) -> None:
    """They wait for the disk once."""
    commits = []
    sa.event.listen(store._writer._engine, "commit", commits.append)
    await asyncio.gather(*(add(store, session(n)) for n in range(100)))
    assert 1 == len(commits)
    assert 100 == len(await store.open_ids())


async def test_what_is_acknowledged_can_be_read_at_once(store: Store) -> None:
    """By whoever was told, on any connection."""
    for n in range(20):
        of = await add(store, session(n))
        assert of == await store.session(of.id)


async def test_the_database_survives_the_loss_of_power(store: Store, file: Path) -> None:
    """It has a write-ahead log that every commit waits for, and references are checked."""
    pragmas = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")

    def ask(connection: sa.Connection) -> list[object]:
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in pragmas]

    assert ["wal", 2, 1, 5000] == await store._writer.run(Effect.SET_META, ask)


async def test_a_reader_cannot_write(store: Store) -> None:
    """Whatever a query may say."""
    async with store._reader._connection() as connection:
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            await connection.execute("DELETE FROM events")


async def test_many_rows_do_not_hold_up_the_others(store: Store) -> None:
    """They get their turn while rows are decoded, not only before and after."""
    turns = []
    numbers = sa.func.json_each(sa.bindparam("numbers")).table_valued("value")
    query = Prepared(sa.select(numbers.c.value), lambda _row: len(turns))

    async def take_turns() -> None:
        while True:
            turns.append("mine")
            await asyncio.sleep(0)

    others = asyncio.create_task(take_turns())
    turns_before_each_row = await store._reader.fetch(query, numbers=json.dumps([0] * 1000))
    others.cancel()
    assert turns_before_each_row[0] + 99 == turns_before_each_row[-1]


async def test_a_reader_does_not_wait_for_a_writer(store: Store, file: Path) -> None:
    """It sees the last commit while a transaction is open."""
    of = await add(store, session(1))
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE sessions SET error = 'not yet committed'")
        assert of == await store.session(of.id)
        other.execute("ROLLBACK")


async def test_a_caller_who_leaves_does_not_break_the_batch(store: Store) -> None:
    """The others are written and told."""
    writes = [asyncio.create_task(add(store, session(n))) for n in range(5)]
    await asyncio.sleep(0)
    writes[2].cancel()
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    left = [n for n, one in enumerate(outcomes) if isinstance(one, asyncio.CancelledError)]
    assert [2] == left
    assert [session(n).id for n in (0, 1, 3, 4)] == await store.open_ids()


async def test_a_caller_who_leaves_in_the_midst_of_the_commit_does_not_break_it(
    store: Store,
) -> None:
    """His own write stands, as do the others'."""
    writes = [asyncio.create_task(add(store, session(n))) for n in range(3)]
    loop = asyncio.get_running_loop()

    def leave(connection: sa.Connection) -> None:
        loop.call_soon_threadsafe(writes[1].cancel)

    outcomes = await asyncio.gather(
        *writes, store._writer.run(Effect.SET_META, leave), return_exceptions=True
    )
    assert isinstance(outcomes[1], asyncio.CancelledError)
    assert [session(n).id for n in range(3)] == await store.open_ids()


async def test_readers_who_leave_leave_no_connections_behind(store: Store) -> None:
    """However many of them there are."""
    await add(store, session(1))
    for _ in range(20):
        reads = [asyncio.create_task(store.session(session(1).id)) for _ in range(10)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for read in reads:
            read.cancel()
        await asyncio.gather(*reads, return_exceptions=True)
    assert await store.session(session(1).id) is not None
    threads = [one for one in threading.enumerate() if "connection_worker" in one.name]
    assert 0 < len(threads) <= READERS + 1


async def test_a_full_disk_fails_those_who_wait_and_the_writer_goes_on(
    store: Store, file: Path
) -> None:
    """Nothing of the batch is written; the next one is."""
    before = await add(store, session(0))
    with no_file_grows_beyond(file.with_name("broker.db-wal").stat().st_size):
        writes = [add(store, session(n)) for n in range(1, 4)]
        outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert [StoreUnwritable] * 3 == [type(one) for one in outcomes]
    assert [before.id] == await store.open_ids()
    after = await add(store, session(4))
    assert [before.id, after.id] == await store.open_ids()


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Another process has begun to write and does not come to an end."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


async def impatient(store: Store) -> None:
    """Let the writer wait for no other process."""

    def set_timeout(connection: sa.Connection) -> None:
        connection.exec_driver_sql("PRAGMA busy_timeout = 0")

    await store._writer.run(Effect.SET_META, set_timeout)


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        (lambda file: no_file_grows_beyond(file.with_name("broker.db-wal").stat().st_size), "disk"),
        (locked, "another process keeps it locked"),
    ],
    ids=["full", "locked"],
)
async def test_the_writer_knows_since_when_nothing_can_be_written(
    store: Store,
    file: Path,
    trouble: Callable[[Path], AbstractContextManager[None]],
    why: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It finds out by itself when that is over, and the log is told of both once."""
    await add(store, session(0))
    await impatient(store)
    with trouble(file):
        for n in range(1, 4):
            with pytest.raises(StoreUnwritable, match=why):
                await add(store, session(n))
        assert store.outage is not None
        assert why in str(store.outage)
        assert "cannot be written since" in str(store.outage)

    async def is_over() -> bool:
        return store.outage is None

    await eventually(is_over)
    told = [record.getMessage() for record in caplog.records if "written" in record.getMessage()]
    assert ["The database cannot be written", "The database can be written again"] == [
        re.split("[:;]", one)[0] for one in told
    ]
    assert await store.meta("outage") is None


async def test_a_failure_tells_nothing_of_what_the_rows_hold(store: Store) -> None:
    """Neither to the consumer nor to the log."""
    await add(store, session(1))
    private = replace(session(2), id=session(1).id, public_key="ssh-ed25519 of-the-consumer")
    with pytest.raises(StoreFailed) as failed:
        await add(store, private)
    assert "The database could not do its work." == str(failed.value)
    trace = "".join(traceback.format_exception(failed.value))
    assert "UNIQUE constraint failed" in trace
    assert "of-the-consumer" not in trace


async def test_a_job_that_raises_is_undone_alone(store: Store) -> None:
    """And its caller is told what it raised."""

    def half_done(connection: sa.Connection) -> None:
        connection.exec_driver_sql("INSERT INTO meta VALUES ('half', 'done')")
        raise LookupError

    outcomes = await asyncio.gather(
        store.set_meta("one", "1"),
        store._writer.run(Effect.SET_META, half_done),
        store.set_meta("two", "2"),
        return_exceptions=True,
    )
    assert [type(None), LookupError, type(None)] == [type(one) for one in outcomes]
    values = [await store.meta(key) for key in ("one", "half", "two")]
    assert ["1", None, "2"] == values


async def test_closing_writes_what_waits(tmp_path: Path) -> None:
    """What was asked for before is committed, what is asked for afterwards is refused."""
    async with opened(tmp_path) as store:
        write = asyncio.create_task(add(store, session(1)))
        await asyncio.sleep(0)
    assert session(1) == await write
    with pytest.raises(StoreFailed, match="closed"):
        await add(store, session(2))
    assert ["broker.db"] == names_in(tmp_path)


async def test_nobody_waits_for_a_writer_that_was_cancelled(tmp_path: Path) -> None:
    """Those who wait are told, and so are those who come later."""
    async with opened(tmp_path) as store:
        await add(store, session(1))
        write = asyncio.create_task(add(store, session(2)))
        store._writer._task.cancel()
        with pytest.raises(StoreFailed):
            await write
        with pytest.raises(StoreFailed, match="closed"):
            await add(store, session(3))
        await asyncio.gather(store._writer._task, return_exceptions=True)
        store._writer._task = asyncio.create_task(asyncio.sleep(0))


COMMITS_IN_A_LOOP = """
import asyncio, sys
from pathlib import Path
from broker.model import Change
from tests.service.store_examples import add, opened, session

async def main():
    async with opened(Path(sys.argv[1])) as store:
        for n in range(100_000):
            of = await add(store, session(n))
            of = await store.commit(Change("change", of))
            print(of.id, of.version, flush=True)

asyncio.run(main())
"""


def acknowledged_until_killed(folder: Path) -> list[tuple[str, int]]:
    """The ids and versions that a process told to be committed before it was killed."""
    command = [sys.executable, "-c", COMMITS_IN_A_LOOP, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(40)]
        process.send_signal(signal.SIGKILL)
        lines += process.stdout
    told = [line.split() for line in lines]
    return [(session_id, int(version)) for session_id, version in told]


async def test_sigkill_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """At whatever instant it comes; and the work goes on where it was."""
    acknowledged = acknowledged_until_killed(tmp_path)
    async with opened(tmp_path) as store:
        found = {one.id: one.version for one in (await store.versions())[0]}
        ended = replace(session(0), status=Status.STOPPED, version=1)
        again = await store.commit(Change("end", ended))
    assert dict(acknowledged).items() <= found.items()
    assert 2 == again.version
