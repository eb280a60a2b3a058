"""One server or sweep at a time works on a database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from broker.errors import StartupError
from broker.store.lock import DatabaseLock, LockHeld, LockOwner

ROOT = Path(__file__).parents[2]
URL = "http://127.0.0.1:8080"
HOLDS_IT = """
import sys
from pathlib import Path
from broker.store.lock import DatabaseLock

lock = DatabaseLock.acquire(Path(sys.argv[1]), "http://127.0.0.1:9")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The database that is locked; it need not exist."""
    return tmp_path / "data" / "broker.db"


@contextmanager
def another_process(file: Path) -> Iterator[subprocess.Popen[str]]:
    """Holds the lock until the end of the block."""
    command = [sys.executable, "-c", HOLDS_IT, str(file)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as process:  # type: ignore[call-overload] # noqa: S603
        assert "held\n" == process.stdout.readline()
        yield process
        process.kill()


def test_who_holds_the_lock_can_be_asked(file: Path) -> None:
    """Before, while and after it is held."""
    before = DatabaseLock.holder(file)
    lock = DatabaseLock.acquire(file, URL)
    held = DatabaseLock.holder(file)
    lock.release()
    assert (None, LockOwner(os.getpid(), URL), None) == (before, held, DatabaseLock.holder(file))


def test_a_lock_is_held_once(file: Path) -> None:
    """The second taker is told whom to ask, and can have it afterwards."""
    lock = DatabaseLock.acquire(file, URL)
    with pytest.raises(LockHeld) as refused:
        DatabaseLock.acquire(file, "http://127.0.0.1:1")
    assert (URL, os.getpid()) == (refused.value.url, refused.value.pid)
    assert LockOwner(os.getpid(), URL) == DatabaseLock.holder(file)
    lock.release()
    DatabaseLock.acquire(file, URL).release()


def test_another_process_is_kept_out(file: Path) -> None:
    """And is told who holds it."""
    with another_process(file) as other:
        assert LockOwner(other.pid, "http://127.0.0.1:9") == DatabaseLock.holder(file)
        with pytest.raises(LockHeld, match=str(other.pid)):
            DatabaseLock.acquire(file, URL)


def test_the_lock_dies_with_its_process(file: Path) -> None:
    """Also where that had no time to say farewell."""
    with another_process(file) as other:
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert DatabaseLock.holder(file) is None
        DatabaseLock.acquire(file, URL).release()


def test_two_databases_do_not_share_a_lock(file: Path) -> None:
    """Also in one folder."""
    one = DatabaseLock.acquire(file, URL)
    other = DatabaseLock.acquire(file.with_name("other.db"), URL)
    one.release()
    other.release()


def test_a_child_does_not_keep_the_lock_of_its_parent(file: Path) -> None:
    """A program that is started while the lock is held has nothing of it."""
    lock = DatabaseLock.acquire(file, URL)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        lock.release()
        DatabaseLock.acquire(file, URL).release()
        child.kill()


def test_a_lock_whose_owner_is_just_writing_is_held_all_the_same(file: Path) -> None:
    """By somebody unknown."""
    lock = DatabaseLock.acquire(file, URL)
    file.with_name("broker.db.lock").write_text("")
    assert LockOwner(0, "") == DatabaseLock.holder(file)
    lock.release()


def test_a_lock_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "data").touch()
    with pytest.raises(StartupError, match="cannot be made"):
        DatabaseLock.acquire(tmp_path / "data" / "broker.db", URL)
