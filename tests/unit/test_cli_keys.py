"""Where keys are kept: modes, places, and that none is overwritten or left half made."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from broker.cli import keys
from broker.cli.exits import CommandFailed
from tests.unit.cli_stub import PRIVATE_KEY, SESSION_ID


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty state folder, under a mask that would let everybody read."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "gpu-broker"


def _mode(path: Path) -> str:
    return f"{path.stat().st_mode & 0o7777:o}"


def _all_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if not path.is_dir())


def test_a_key_without_a_file_goes_to_the_state_folder_for_its_owner_only(state: Path) -> None:
    """Folder 0700, file 0600, and found again by the session's id."""
    with keys.reserved(None) as place:
        path = place.keep(SESSION_ID, PRIVATE_KEY)

    assert path == state / "keys" / SESSION_ID == keys.find(SESSION_ID)
    assert path.read_text() == PRIVATE_KEY
    assert [_mode(state), _mode(state / "keys"), _mode(path)] == ["700", "700", "600"]


def test_a_key_with_a_file_is_kept_there_and_remembered(tmp_path: Path) -> None:
    """The file is 0600, and `ssh` finds it by the session's id."""
    with keys.reserved(str(tmp_path / "key")) as place:
        path = place.keep(SESSION_ID, PRIVATE_KEY)
    found = keys.find(SESSION_ID)

    assert path == tmp_path / "key"
    assert _mode(path) == "600"
    assert found is not None
    assert found.resolve() == path


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    """It is wrong usage, before anything is rented."""
    (tmp_path / "key").write_text("precious")

    with pytest.raises(click.UsageError, match="--force"), keys.reserved(str(tmp_path / "key")):
        pytest.fail("the place must not be given")

    assert (tmp_path / "key").read_text() == "precious"


def test_force_overwrites_an_existing_file_for_its_owner_only(tmp_path: Path) -> None:
    """Also where the old file was open to everybody."""
    old = tmp_path / "key"
    old.write_text("old")
    old.chmod(0o644)

    with keys.reserved(str(old), overwrite=True) as place:
        place.keep(SESSION_ID, PRIVATE_KEY)

    assert (old.read_text(), _mode(old)) == (PRIVATE_KEY, "600")


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_rental_that_fails_leaves_no_file(tmp_path: Path, overwrite: bool) -> None:
    """The place was only reserved."""
    with keys.reserved(str(tmp_path / "key"), overwrite=overwrite), keys.reserved(None):
        pass

    assert _all_files(tmp_path) == []


def test_a_rental_that_fails_leaves_the_old_file_as_it_was(tmp_path: Path) -> None:
    """Even with --force nothing is lost before a new key is there."""
    (tmp_path / "key").write_text("old")

    with pytest.raises(CommandFailed), keys.reserved(str(tmp_path / "key"), overwrite=True):
        raise CommandFailed("no offer fits")

    assert _all_files(tmp_path) == ["key"]
    assert (tmp_path / "key").read_text() == "old"


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_rented(tmp_path: Path) -> None:
    """A key that has no place would be lost."""
    with (
        pytest.raises(click.UsageError, match="cannot be saved"),
        keys.reserved(str(tmp_path / "missing" / "key")),
    ):
        pytest.fail("the place must not be given")


def test_nothing_remembered_is_none_and_a_given_file_wins(tmp_path: Path) -> None:
    """--key beats what is remembered."""
    assert keys.find(SESSION_ID) is None

    with keys.reserved(None) as place:
        place.keep(SESSION_ID, PRIVATE_KEY)

    assert keys.find(SESSION_ID, str(tmp_path / "other")) == tmp_path / "other"


def test_a_remembered_file_that_is_gone_is_named(tmp_path: Path) -> None:
    """The person learns where the key was."""
    with keys.reserved(str(tmp_path / "key")) as place:
        place.keep(SESSION_ID, PRIVATE_KEY)
    (tmp_path / "key").unlink()

    with pytest.raises(CommandFailed, match="--key") as caught:
        keys.find(SESSION_ID)

    assert str(tmp_path / "key") in caught.value.message


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "..", ".hidden", "", "a\0b"])
def test_a_session_id_cannot_lead_out_of_the_folder(name: str) -> None:
    """Ids come from outside."""
    with pytest.raises(click.UsageError, match="not a session id"):
        keys.find(name)


def test_known_hosts_are_exactly_what_the_session_has(state: Path) -> None:
    """A later session's key replaces the file, it is never added to."""
    keys.store_known_hosts(SESSION_ID, ["old"])
    path = keys.store_known_hosts(SESSION_ID, ["one", "two"])

    assert path == state / "known_hosts" / SESSION_ID
    assert path.read_text() == "one\ntwo\n"
    assert _mode(path) == "600"


def test_a_relative_state_home_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The specification of the folder says so; the default is below the home."""
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))

    assert keys.state_folder() == tmp_path / ".local" / "state" / "gpu-broker"
