"""The doctor without a broker: what it reads in a database, and whether one could be written."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import Result

from broker.store import opening
from broker.store.lock import DatabaseLock
from tests.service.store_examples import add, kept_locked, names_in, offer, opened, session
from tests.service.test_store_opening import no_file_can_grow, run_sql
from tests.unit.cli_stub import gpu_broker


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the database of these tests is; no broker can be reached."""
    monkeypatch.setenv("GPU_BROKER_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("VASTAI_API_KEY", raising=False)
    folder = tmp_path / "data"
    folder.mkdir()
    return folder / "broker.db"


async def recorded(file: Path, provider: str = "simulator") -> None:
    """A database with two sessions at this provider."""
    async with opened(file.parent) as store:
        for n in (1, 2):
            await add(store, session(n, offer=offer(n, provider)))


def examined(file: Path, *options: str) -> Result:
    """What the doctor says of a machine with this database."""
    return gpu_broker("doctor", "--database", str(file), *options)


async def test_nothing_is_changed_by_looking(file: Path) -> None:
    """No byte, and no file beside it."""
    await recorded(file)
    before = file.read_bytes()
    result = examined(file, "--simulate")

    assert (0, before) == (result.exit_code, file.read_bytes())
    assert "is sound: 2 sessions" in result.stdout
    assert ["broker.db"] == names_in(file.parent)


async def test_sessions_whose_provider_has_no_credentials_are_told(file: Path) -> None:
    """Which provider, how many, and the setting to put back: their machines cost money."""
    await recorded(file, "vastai")
    result = examined(file, "--simulate")

    assert 1 == result.exit_code
    (line,) = (line for line in result.stdout.splitlines() if "vastai" in line)
    assert line.startswith("fail  accounts   vastai is draining: 2 sessions left")
    assert "set VASTAI_API_KEY (providers.vastai.api_key)" in line


async def test_what_a_newer_program_wrote_is_told(file: Path) -> None:
    """As a server would say; and no byte of it is changed."""
    await recorded(file)
    run_sql(file, "UPDATE alembic_version SET version_num = '9999'")
    before = file.read_bytes()
    result = examined(file, "--simulate")

    assert 1 == result.exit_code
    assert "written by a newer gpu-broker" in result.stdout
    assert before == file.read_bytes()


async def test_a_deployment_id_that_cannot_be_used_is_told(file: Path) -> None:
    """Before a broker is refused because of it."""
    await recorded(file)
    (file.parent / "deployment-id").write_bytes(b"4f2k9\x00")
    result = examined(file, "--simulate")

    assert 1 == result.exit_code
    assert "fail  data_dir" in result.stdout
    assert "does not hold a deployment id" in result.stdout
    assert "set DEPLOYMENT_ID" in result.stdout


async def test_a_disk_that_takes_nothing_is_found_out(file: Path) -> None:
    """Before a broker starts on it."""
    await recorded(file)
    with no_file_can_grow():
        result = examined(file, "--simulate")

    assert 1 == result.exit_code
    assert f"fail  database   The database {file} cannot be written (File too large)" in (
        result.stdout
    )
    assert f"Let this user write {file.parent}" in result.stdout


async def test_a_database_that_another_program_keeps_is_found_out(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell that was left open, for example."""
    await recorded(file)
    monkeypatch.setattr(opening, "BUSY_TIMEOUT", 0)
    with kept_locked(file):
        result = examined(file, "--simulate")

    assert 1 == result.exit_code
    assert "is locked by another process" in result.stdout


async def test_a_database_that_a_broker_works_on_is_left_in_peace(file: Path) -> None:
    """That one tries all the time whether it can be written, and tells at /health."""
    await recorded(file)
    lock = DatabaseLock.acquire(file, "http://127.0.0.1:9")
    try:
        with no_file_can_grow():
            result = examined(file, "--simulate")
    finally:
        lock.release()

    assert "is sound: 2 sessions" in result.stdout
    assert "cannot be written" not in result.stdout
