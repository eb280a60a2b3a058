"""The demonstration: the whole job in one command."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cli_broker import CommandLine

_OPENSSH = shutil.which("ssh")
_needs_openssh = pytest.mark.skipif(_OPENSSH is None, reason="there is no OpenSSH here")


@pytest.fixture(scope="module")
def demonstrated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A folder, and the demo that ran there beside the credentials of real accounts."""
    folder = tmp_path_factory.mktemp("demo")
    account = "VASTAI_API_KEY=key\nVASTAI_API_URL=http://127.0.0.1:9\n"
    (folder / "kept").mkdir()
    for place in (folder, folder / "kept"):
        (place / ".env").write_text(account)
    command_line = CommandLine(folder, {"TENSORDOCK_API_TOKEN": "token"})
    return folder, command_line.run("demo", "--data", "kept")


def test_the_demo_does_the_whole_job_and_leaves_nothing_running(
    demonstrated: tuple[Path, Any],
) -> None:
    """Market, rent, boot, login, done, cost, proof; exit code 0."""
    folder, done = demonstrated

    assert (done.returncode, done.stderr) == (0, "")
    steps = [line[:11].split() for line in done.stdout.splitlines() if line[1:4] == "/7 "]
    names = list(dict.fromkeys(name for _, name in steps))
    assert names == ["market", "rent", "boot", "login", "done", "cost", "proof"]
    assert "NVIDIA-SMI" in done.stdout
    assert "RTX 4090" in done.stdout
    assert _processes_in(folder) == []


def test_the_demo_touches_no_account_of_its_caller(demonstrated: tuple[Path, Any]) -> None:
    """Neither the environment nor a .env file reaches its broker, be it beside the broker's own."""
    folder, _ = demonstrated
    log = (folder / "kept" / "broker.log").read_text()

    assert "Ready." in log
    assert "vastai" not in log
    assert "tensordock" not in log


def test_a_demo_that_fails_says_why(apart: CommandLine) -> None:
    """Exit code 1, the reason last, nothing left."""
    done = apart.run("demo", "--gpu-type", "Voodoo 2")

    assert done.returncode == 1
    assert "has no Voodoo 2" in done.stderr.splitlines()[-1]
    assert list(apart.folder.iterdir()) == []
    assert _processes_in(apart.folder) == []


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_interrupted_ends_what_it_started(
    apart: CommandLine, signum: signal.Signals
) -> None:
    """The broker and its machine with it."""
    process = apart.start("demo")
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("3/7"):
            break
    process.send_signal(signum)
    _, stderr = process.communicate(timeout=30)

    assert process.returncode == 130
    assert "have ended" in stderr
    assert list(apart.folder.iterdir()) == []
    assert _processes_in(apart.folder) == []


def _processes_in(folder: Path) -> list[int]:
    """The processes that were started with `folder` in their command or as their directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace")
            here = str((process / "cwd").readlink())
        except OSError:
            continue
        if str(folder) in words or here.startswith(str(folder)):
            found.append(int(process.name))
    return found
