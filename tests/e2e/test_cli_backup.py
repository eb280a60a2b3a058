"""The installed command, copying a database and putting the copy back."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cli_broker import CommandLine, serving
from tests.e2e.conftest import RENT
from tests.waiting import wait_until


def sessions_in(file: Path) -> list[str]:
    """The sessions that a copy holds."""
    with closing(sqlite3.connect(file)) as connection:
        return [row[0] for row in connection.execute("SELECT id FROM sessions")]


def back_up(command_line: CommandLine, file: Path, *options: str) -> Any:
    """What `backup` tells of the copy that it has made."""
    return command_line.ask("backup", str(file), "--database", command_line.database, *options)


def test_a_copy_is_made_beside_a_broker(
    broker: CommandLine, rented: dict[str, Any], tmp_path: Path
) -> None:
    """With what was rented before; the broker goes on."""
    file = tmp_path / "copy.db"
    told = back_up(broker, file)

    assert (str(file), 1, 1) == (told["file"], told["sessions"], told["live_sessions"])
    assert file.stat().st_size == told["size_bytes"]
    assert 0o600 == file.stat().st_mode & 0o777
    assert [rented["session"]["id"]] == sessions_in(file)
    assert "running" == broker.ask("sessions", "get", rented["session"]["id"])["status"]


def test_a_copy_that_exists_is_replaced_only_by_force(broker: CommandLine, tmp_path: Path) -> None:
    """Somebody may have had another file in mind."""
    file = tmp_path / "copy.db"
    file.write_text("Dear Emma")
    refused = broker.run("backup", str(file), "--database", broker.database)

    assert (2, "Dear Emma") == (refused.returncode, file.read_text())
    assert "--force" in refused.stderr
    assert back_up(broker, file, "--force")["size_bytes"] == file.stat().st_size


def test_nothing_is_put_in_the_place_of_a_database_in_use(
    broker: CommandLine, tmp_path: Path
) -> None:
    """Exit code 1 and whom to stop; nothing is changed."""
    file = tmp_path / "copy.db"
    back_up(broker, file)
    names = sorted(one.name for one in Path(broker.database).parent.glob("gpu-broker*"))
    refused = broker.run("restore", str(file), "--database", broker.database)

    assert 1 == refused.returncode
    assert "works on this database. Stop it first, then restore." in refused.stderr
    assert names == sorted(one.name for one in Path(broker.database).parent.glob("gpu-broker*"))


def test_the_database_is_no_copy_of_itself(broker: CommandLine) -> None:
    """Whatever is forced."""
    arguments = ("backup", broker.database, "--force", "--database", broker.database)
    refused = broker.run(*arguments)

    assert 2 == refused.returncode
    assert "is the database itself" in refused.stderr


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_what_is_not_there_is_told(apart: CommandLine, command: str) -> None:
    """Exit code 2, and nothing is made but the lock."""
    done = apart.run(command, "copy.db", "--database", apart.database)

    assert 2 == done.returncode
    assert "There is no" in done.stderr
    assert not list(apart.folder.rglob("*.db"))


def test_a_session_survives_the_restoring_of_yesterdays_database(apart: CommandLine) -> None:
    """Its machine answers as before; what was there is kept, and its place is told."""
    file = apart.folder / "copy.db"
    with serving(apart):
        kept = apart.ask(*RENT)["session"]
        back_up(apart, file)
        forgotten = apart.ask(*RENT, "--consumer-id", "another")["session"]
    done = apart.run("restore", str(file), "--database", apart.database)

    assert 0 == done.returncode, done.stderr
    (replaced,) = Path(apart.database).parent.glob("gpu-broker-replaced-*.db")
    assert str(replaced) in done.stderr
    assert "1, 1 of them not over" in done.stdout
    assert {kept["id"], forgotten["id"]} == set(sessions_in(replaced))
    with serving(apart):
        wait_until(lambda: apart.run("ssh", kept["id"], "--", "true").returncode == 0)
        (ours,) = apart.ask("providers")["providers"]
        assert {"ours": 1, "orphaned": 1, "foreign": 0} == ours["machines"]


def spoil(file: Path) -> None:
    """The middle of a database is nonsense."""
    whole = file.read_bytes()
    middle = len(whole) // 2
    file.write_bytes(whole[:middle] + b"\xff" * 8192 + whole[middle + 8192 :])


def cut(file: Path) -> None:
    """The second half of a database is missing."""
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])


def replace(file: Path) -> None:
    """Something else is in its place."""
    file.write_text("Dear Emma, " * 100)


@pytest.mark.parametrize("misfortune", [spoil, cut, replace])
def test_a_broker_does_not_start_on_a_damaged_database(
    apart: CommandLine, misfortune: Callable[[Path], None]
) -> None:
    """Exit code 2 and one sentence that says what to do; and doing it helps."""
    database, copy = Path(apart.database), apart.folder / "copy.db"
    with serving(apart):
        apart.ask(*RENT)
        back_up(apart, copy)
    misfortune(database)
    damaged = database.read_bytes()
    refused = apart.run("serve", "--simulate", "--database", apart.database, "--port", "0")

    assert 2 == refused.returncode
    assert "Traceback" not in refused.stderr
    assert str(database) in refused.stderr.splitlines()[-1]
    assert damaged == database.read_bytes()
    looked_at = apart.run("doctor", "--simulate", "--database", apart.database)
    assert 1 == looked_at.returncode
    assert "gpu-broker restore FILE" in " ".join(looked_at.stdout.split())
    apart.succeed("restore", str(copy), "--database", apart.database)
    with serving(apart):
        assert 1 == len(apart.ask("sessions", "list")["sessions"])
