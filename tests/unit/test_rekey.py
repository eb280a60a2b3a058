"""Exchanging a key on a machine: what the command does to its list of keys, in real shells."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from broker.decide.proof import bare_public_key
from broker.model import KeyType
from broker.ssh.keys import generate
from broker.ssh.login import SshResult
from broker.ssh.rekey import NotExchanged, check_exchange, rekey_command

OLD, NEW, OWN, OTHER = (
    generate(KeyType.ED25519, comment).public_line
    for comment in ("gpu-broker:me", "it's `new`; $HOME", "gpu-broker", "colleague")
)
SHELLS = [
    pytest.param(
        words,
        id=words[0],
        marks=pytest.mark.skipif(shutil.which(words[0]) is None, reason="not installed"),
    )
    for words in (["bash"], ["dash"], ["busybox", "sh"])
]


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """The list of keys of a machine's user."""
    file = tmp_path / ".ssh" / "authorized_keys"
    file.parent.mkdir(mode=0o700)
    file.write_text("")
    file.chmod(0o640)
    return file


def exchange(keys: Path, shell: list[str] | None = None, new: str = NEW) -> SshResult:
    """What the command prints when the user's login shell is `shell`."""
    ran = subprocess.run(  # noqa: S603
        [*(shell or ["sh"]), "-c", rekey_command(OLD, new, OWN)],
        env={"HOME": str(keys.parents[1]), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    return SshResult(ran.returncode, ran.stdout, ran.stderr, "ssh-ed25519 AAAA")


def listed(keys: Path) -> list[str]:
    """The keys that may log in."""
    return [bare_public_key(line) for line in keys.read_text().splitlines()]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_new_key_stands_for_the_old_one(keys: Path, shell: list[str]) -> None:
    """Whatever the login shell is; keys of others, and the file's mode, stay."""
    keys.write_text(f"{OLD}\n{OWN}\n# a remark\n{OTHER}")
    check_exchange(exchange(keys, shell), OLD, NEW)

    assert [*map(bare_public_key, (OWN, "# a remark", OTHER, NEW))] == listed(keys)
    assert 0o640 == keys.stat().st_mode & 0o777
    assert [keys.name] == [one.name for one in keys.parent.iterdir()]


def test_a_key_from_an_exchange_that_was_not_written_down_goes_too(keys: Path) -> None:
    """A crash of the broker between the machine and its database leaves no second key."""
    forgotten = generate(KeyType.ED25519, "x").public_line
    keys.write_text(f"{OLD}\n{OWN}\n")
    exchange(keys, new=forgotten)
    check_exchange(exchange(keys), OLD, NEW)

    assert [*map(bare_public_key, (OWN, NEW))] == listed(keys)


def test_a_linked_list_stays_a_link(keys: Path, tmp_path: Path) -> None:
    """Some images keep it elsewhere."""
    kept = tmp_path / "kept"
    kept.write_text(f"{OLD}\n{OWN}\n")
    keys.unlink()
    keys.symlink_to(kept)
    check_exchange(exchange(keys), OLD, NEW)

    assert keys.is_symlink()
    assert [*map(bare_public_key, (OWN, NEW))] == listed(kept)


def test_the_same_key_again_stays(keys: Path) -> None:
    """A consumer may bring the one that is there."""
    keys.write_text(f"{OWN}\n{OLD}\n")
    check_exchange(exchange(keys, new=OLD), OLD, OLD)

    assert [*map(bare_public_key, (OWN, OLD))] == listed(keys)


@pytest.mark.parametrize(
    "before",
    [pytest.param("", id="empty"), pytest.param(f"{OLD}\n", id="without the broker's own key")],
)
def test_a_list_without_the_brokers_own_key_is_left_alone(keys: Path, before: str) -> None:
    """It is not the list that lets the broker in: changing it would change nothing, or too much."""
    keys.write_text(before)
    with pytest.raises(NotExchanged):
        check_exchange(exchange(keys), OLD, NEW)

    assert before == keys.read_text()


def test_a_machine_without_a_list_says_why(keys: Path) -> None:
    """In the words of its own tools."""
    keys.unlink()
    with pytest.raises(NotExchanged, match="authorized_keys"):
        check_exchange(exchange(keys), OLD, NEW)


def test_an_old_key_that_still_logs_in_has_not_been_exchanged() -> None:
    """The new one beside it is not enough."""
    stdout = f"\n::gpu-broker:: exchange 0\n{OLD}\n{OWN}\n{NEW}\n\n::gpu-broker:: keys 0\n"
    with pytest.raises(NotExchanged):
        check_exchange(SshResult(0, stdout, "", "ssh-ed25519 AAAA"), OLD, NEW)


@pytest.mark.parametrize("stdout", ["", "Welcome!\n", "\n::gpu-broker:: start 0\n"])
def test_a_machine_that_runs_something_else_has_not_exchanged(stdout: str) -> None:
    """Only the new list of keys is proof."""
    with pytest.raises(NotExchanged):
        check_exchange(SshResult(0, stdout, "", "ssh-ed25519 AAAA"), OLD, NEW)
