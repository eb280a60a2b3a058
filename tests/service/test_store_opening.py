"""Opening a database: made where there is none, brought up to date, or refused with a reason."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from broker.errors import StartupError
from broker.store import Store, connections, migrate, opening, queries
from broker.store.backup import copy_database
from broker.store.prepared import Prepared
from broker.store.schema import HEAD, metadata
from broker.store.soundness import refusing
from tests.builders import NOW
from tests.service.store_examples import HOUR, KEY, add, kept_locked, names_in, opened, session

ROOT = Path(__file__).parents[2]
STAMP = "SELECT value FROM meta WHERE key = 'copied_at'"
"""Only copies have it."""
NEXT_REVISION = """
import sqlalchemy as sa
from alembic import op

revision = "next"
down_revision = "{head}"


def upgrade() -> None:
    op.add_column("sessions", sa.Column("mood", sa.Text))
    {then}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the database of these tests is."""
    return tmp_path / "broker.db"


async def refusal(file: Path) -> str:
    """Why a database is not opened: one line that names it."""
    with pytest.raises(StartupError) as refused:
        await Store.open(str(file), key=KEY, now=lambda: NOW)
    message = str(refused.value)
    assert 1 == len(message.splitlines())
    assert str(file) in message
    return message


def run_sql(file: Path, *statements: str) -> list[tuple[object, ...]]:
    """Do something to a database behind the store's back; the rows of the last statement."""
    rows: list[tuple[object, ...]] = []
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for statement in statements:
            rows = connection.execute(statement).fetchall()
    return rows


async def made(file: Path) -> None:
    """A database of the present schema with one session."""
    async with opened(file.parent) as store:
        await add(store, session(1))


@contextmanager
def no_file_can_grow(beyond: int = 0) -> Iterator[None]:
    """A disk that takes nothing, or files of so many bytes at most, for this process alone."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (beyond, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def next_revision(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A program that has one more migration; returns its file."""
    folder = tmp_path_factory.mktemp("program") / "migrations"
    shutil.copytree(ROOT / "broker/store/migrations", folder)
    script = folder / "versions" / "next.py"
    script.write_text(NEXT_REVISION.format(head=HEAD, then=""))
    monkeypatch.setattr(migrate, "SCRIPTS", str(folder))
    monkeypatch.setattr(opening, "HEAD", "next")
    return script


@pytest.mark.parametrize("scheme", ["", "sqlite:///"])
async def test_a_database_is_made_where_there_is_none(tmp_path: Path, scheme: str) -> None:
    """With the folders above it, for its owner alone."""
    file = tmp_path / "new" / "folder" / "broker.db"
    store = await Store.open(f"{scheme}{file}", key=KEY, now=lambda: NOW)
    await add(store, session(1))
    modes = {one.name: one.stat().st_mode & 0o777 for one in file.parent.iterdir()}
    await store.close()
    assert {"broker.db": 0o600, "broker.db-wal": 0o600, "broker.db-shm": 0o600} == modes
    assert 0o700 == file.parent.stat().st_mode & 0o777


async def test_a_database_knows_when_it_was_made(file: Path) -> None:
    """Opening it later does not change that."""
    await made(file)
    later = await Store.open(str(file), key=KEY, now=lambda: NOW + HOUR)
    assert NOW.isoformat() == await later.meta("created_at")
    await later.close()


async def test_a_file_name_may_hold_any_character(tmp_path: Path) -> None:
    """Some of them mean something in URLs and in configuration files."""
    file = tmp_path / "50% of #1? (&Söhne)" / "broker;a=b.db"
    store = await Store.open(str(file), key=KEY, now=lambda: NOW)
    copy_database(file, file.with_name("copy 100%.db"), NOW)
    await store.close()
    assert ["broker;a=b.db", "copy 100%.db"] == names_in(file.parent)


async def test_an_empty_file_becomes_a_database(file: Path) -> None:
    """Somebody may have made it with the rights that it needs."""
    file.touch()
    await made(file)
    assert [(HEAD,)] == run_sql(file, "SELECT version_num FROM alembic_version")


async def test_a_process_that_died_while_making_it_is_in_nobodys_way(file: Path) -> None:
    """The schema is there as a whole or not at all."""
    run_sql(file, "PRAGMA journal_mode = WAL", "PRAGMA user_version = 0")
    await made(file)
    assert ["broker.db"] == names_in(file.parent)


async def test_the_migrations_lead_to_the_present_schema(file: Path, tmp_path: Path) -> None:
    """Column by column and index by index, with the revision that the program expects."""
    await made(file)
    wanted = tmp_path / "wanted.db"
    engine = sa.create_engine(sa.URL.create("sqlite", database=str(wanted)))
    metadata.create_all(engine)
    engine.dispose()
    assert described(wanted) == described(file)


def described(file: Path) -> dict[str, object]:
    """The schema of a database, in SQLite's own words."""
    tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'alembic%'"
    found: dict[str, object] = {}
    for (table,) in run_sql(file, tables):
        for pragma in ("table_xinfo", "foreign_key_list"):
            found[f"{table} {pragma}"] = run_sql(file, f"PRAGMA {pragma}({table})")
    indexes = (
        "SELECT name, sql FROM sqlite_master WHERE type = 'index'"
        " AND tbl_name NOT LIKE 'alembic%' ORDER BY name"
    )
    return found | {"indexes": run_sql(file, indexes)}


def test_the_program_expects_the_last_migration() -> None:
    """Opening compares with a word that is written down, so that Alembic is not needed."""
    assert [HEAD] == ScriptDirectory(ROOT / "broker/store/migrations").get_heads()


async def test_opening_what_is_up_to_date_does_not_import_alembic(file: Path) -> None:
    """It would make every start slower."""
    await made(file)
    program = (
        "import asyncio, sys; from pathlib import Path\n"
        "from tests.service.store_examples import opened\n"
        "async def main():\n"
        "    async with opened(Path(sys.argv[1])): pass\n"
        "asyncio.run(main()); print('alembic' in sys.modules)"
    )
    command = [sys.executable, "-c", program, str(file.parent)]
    assert "False\n" == subprocess.check_output(command, cwd=ROOT, text=True)  # noqa: S603, ASYNC221


async def test_a_copy_is_kept_before_a_migration(file: Path, next_revision: Path) -> None:
    """Readable only by its owner, and as it was before."""
    with pytest.MonkeyPatch.context() as former:
        former.setattr(opening, "HEAD", HEAD)
        former.setattr(migrate, "SCRIPTS", "broker.store:migrations")
        await made(file)
    async with opened(file.parent) as store:
        assert [session(1).id] == await store.open_ids()
    copy = file.with_name("broker-before-next.db")
    assert ["broker-before-next.db", "broker.db"] == names_in(file.parent)
    assert 0o600 == copy.stat().st_mode & 0o777
    revisions = "SELECT version_num, (SELECT count(*) FROM sessions) FROM alembic_version"
    assert [(HEAD, 1)] == run_sql(copy, revisions)
    assert [("next", 1)] == run_sql(file, revisions)
    assert ([(NOW.isoformat(),)], []) == (run_sql(copy, STAMP), run_sql(file, STAMP))


async def test_a_new_database_needs_no_copy(file: Path, next_revision: Path) -> None:
    """All migrations run on it."""
    await made(file)
    assert ["broker.db"] == names_in(file.parent)
    assert [("next",)] == run_sql(file, "SELECT version_num FROM alembic_version")


async def test_a_migration_that_fails_changes_nothing(file: Path, next_revision: Path) -> None:
    """What it had done is undone, and the former program can go on."""
    with pytest.MonkeyPatch.context() as former:
        former.setattr(opening, "HEAD", HEAD)
        former.setattr(migrate, "SCRIPTS", "broker.store:migrations")
        await made(file)
        broken = 'op.execute("INSERT INTO nowhere VALUES (1)")'
        next_revision.write_text(NEXT_REVISION.format(head=HEAD, then=broken))
    assert "cannot be used" in await refusal(file)
    assert [(HEAD,)] == run_sql(file, "SELECT version_num FROM alembic_version")
    assert [] == run_sql(file, "SELECT 1 FROM pragma_table_info('sessions') WHERE name = 'mood'")


async def test_a_guest_never_migrates(file: Path) -> None:
    """Who does not hold the lock refuses a schema that is not its own, and touches nothing."""
    await made(file)
    run_sql(file, "UPDATE alembic_version SET version_num = '0000'")
    before = file.read_bytes()
    with pytest.raises(StartupError, match="another version"):
        await Store.open(str(file), key=KEY, now=lambda: NOW, may_migrate=False)
    assert before == file.read_bytes()


async def test_the_database_of_another_program_is_refused(file: Path) -> None:
    """And not touched."""
    run_sql(file, "CREATE TABLE recipes (name TEXT)")
    before = file.read_bytes()
    assert "belongs to another program" in await refusal(file)
    assert before == file.read_bytes()


async def test_a_file_that_is_no_database_is_refused(file: Path) -> None:
    """Somebody's letters are not overwritten."""
    file.write_text("Dear Emma, " * 100)
    assert "is not a SQLite database" in await refusal(file)
    assert file.read_text().startswith("Dear Emma")


async def many(file: Path) -> bytes:
    """A database of some size; its bytes."""
    async with opened(file.parent) as store:
        for n in range(200):
            await add(store, session(n))
    return file.read_bytes()


@pytest.mark.parametrize("where", [0.1, 0.5, 0.9])
async def test_a_damaged_database_is_refused(file: Path, where: float) -> None:
    """Before anything is decided on what it says; what is left of it stays."""
    whole = await many(file)
    begin = int(len(whole) * where)
    damaged = whole[:begin] + b"\xff" * 8192 + whole[begin + 8192 :]
    file.write_bytes(damaged)
    message = await refusal(file)
    assert "is damaged; put a backup in its place with `gpu-broker restore FILE`" in message
    assert damaged == file.read_bytes()
    assert ["broker.db"] == names_in(file.parent)


@pytest.mark.parametrize("left", [0.25, 0.5, 0.99])
async def test_a_truncated_database_is_refused(file: Path, left: float) -> None:
    """A disk was full, or a copy was broken off."""
    whole = await many(file)
    file.write_bytes(whole[: int(len(whole) * left)])
    assert "is damaged; put a backup in its place" in await refusal(file)
    assert whole.startswith(file.read_bytes())


async def test_a_database_without_its_log_is_refused(file: Path, tmp_path: Path) -> None:
    """What was written last is not in the file; SQLite would go on as if it had never been."""
    killed = tmp_path / "killed"
    killed.mkdir()
    async with opened(tmp_path) as store:
        await add(store, session(1))
        for name in ("broker.db", "broker.db-shm"):
            shutil.copy(tmp_path / name, killed)
    message = await refusal(killed / "broker.db")
    assert "has lost broker.db-wal" in message
    assert "`gpu-broker restore FILE`" in message
    assert ["broker.db", "broker.db-shm"] == names_in(killed)


async def test_a_database_with_broken_references_is_refused(file: Path) -> None:
    """Somebody has taken a session away from under its attempts."""
    await made(file)
    run_sql(file, "DELETE FROM sessions")
    assert "is damaged" in await refusal(file)


async def test_a_database_that_another_process_keeps_locked_is_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some patience."""
    await made(file)
    monkeypatch.setattr(opening, "BUSY_TIMEOUT", 0)
    with kept_locked(file):
        assert "is locked by another process" in await refusal(file)


async def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "data").touch()
    message = await refusal(tmp_path / "data" / "broker.db")
    assert "cannot be made (" in message


async def test_a_folder_in_the_place_of_the_file_is_refused(file: Path) -> None:
    """The message says what to name instead."""
    file.mkdir()
    assert "cannot be opened; name a file" in await refusal(file)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
async def test_a_folder_that_is_closed_to_this_user_is_refused(tmp_path: Path) -> None:
    """The message says what to name instead."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    assert "Permission denied" in await refusal(closed / "broker.db")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
async def test_a_file_that_is_closed_to_this_user_is_refused(file: Path) -> None:
    """Before the first session fails for it."""
    await made(file)
    file.chmod(0o400)
    assert "cannot be written" in await refusal(file)


async def test_a_disk_that_takes_nothing_is_told(file: Path) -> None:
    """The start fails, not the first session."""
    with no_file_can_grow():
        assert "look after the disk" in await refusal(file)
    await made(file)


def test_a_full_disk_is_told(file: Path) -> None:
    """SQLite's own word for it is understood."""
    with pytest.raises(StartupError, match="the disk is full"), refusing(file):
        run_sql(file, "PRAGMA max_page_count = 1", "CREATE TABLE too_much (row TEXT)")


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (queries.OPEN_IDS, "_sessions_live"),
        (queries.WATCH_PAGE, "ix_sessions_live"),
        (queries.LIVE_SESSION, "uq_sessions_live_offer"),
        (queries.DUE, "ix_sessions_lease"),
        (queries.NEXT_DUE, "ix_sessions_lease"),
        (queries.COUNTS, "ix_sessions_status"),
        (queries.meters_where(frozenset()), "ix_sessions_live"),
        (queries.FAILURES, "ix_failures_created"),
        (queries.VERIFIED, "ix_sessions_created"),
        (queries.versions_where(frozenset()), "ix_sessions_created"),
        (queries.versions_where(frozenset({"consumer_id"})), "ix_sessions_consumer"),
        (queries.versions_where(frozenset({"statuses"})), "ix_sessions_status"),
        (queries.events_where(frozenset({"session_id", "after"})), "ix_events_session"),
        (queries.accruals_where(frozenset({"consumer_id"})), "ix_accruals_consumer"),
    ],
)
async def test_a_query_uses_its_index(file: Path, query: Prepared[object], index: str) -> None:
    """However much history the tables hold."""
    await made(file)
    with closing(sqlite3.connect(file)) as connection:
        parameters = [0] * query.sql.count("?")
        plan = connection.execute(f"EXPLAIN QUERY PLAN {query.sql}", parameters).fetchall()
    assert index in " ".join(detail for *_, detail in plan)


def test_waiting_for_another_process_has_an_end() -> None:
    """Seconds, not for ever."""
    assert 5 == connections.BUSY_TIMEOUT == opening.BUSY_TIMEOUT
