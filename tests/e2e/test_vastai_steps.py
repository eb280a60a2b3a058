"""The way from an account at Vast.ai to the first machine, as docs/providers.md prints it."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cli_broker import CommandLine, serving
from tests.unit.documents import ROOT, blocks, document, section
from tests.waiting import wait_until

_STEPS = blocks(section(document("providers.md"), "### From an account to the first machine"), "sh")
_INSTALL, _LOOK, _RENT = ([shlex.split(line) for line in step.splitlines()] for step in _STEPS)


@pytest.fixture
def account(tmp_path: Path) -> Iterator[CommandLine]:
    """The command beside the simulated Vast.ai; the key and the address stand in `.env`."""
    log = tmp_path / "wire.log"
    with log.open("w") as file:
        wire = subprocess.Popen(
            [sys.executable, "-m", "tests.vast_wire", "--api-key", "try", "--boot-seconds", "1"],
            cwd=ROOT,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(lambda: "api key" in log.read_text() or wire.poll() is not None)
        url = log.read_text().split()[0]
        (tmp_path / ".env").write_text(f"VASTAI_API_KEY=try\nVASTAI_API_URL={url}\nVASTAI_PACE=0\n")
        yield CommandLine(tmp_path)
    finally:
        wire.send_signal(signal.SIGINT)
        wire.wait(20)


@pytest.mark.skipif(shutil.which("ssh") is None, reason="there is no OpenSSH here")
def test_the_steps_lead_to_a_machine_and_leave_none(account: CommandLine) -> None:
    """Every command as it stands there, the installation aside."""
    *looks, serve = _LOOK
    for words in looks:
        account.succeed(*words[1:])

    assert _INSTALL[0][-1] == ".[vastai]"
    assert serve == ["gpu-broker", "serve"]
    with serving(account, simulate=False):
        said, session = "", "SESSION"
        for words in _RENT:
            said += account.succeed(*(session if word == "SESSION" else word for word in words[1:]))
            session = next(iter(re.findall(r"sess-[a-z2-7]+", said)), session)
        wait_until(lambda: account.ask("sessions", "get", session)["status"] == "stopped")
        (provider,) = account.ask("providers")["providers"]

    assert "RTX 4090" in said
    assert (provider["name"], provider["state"]) == ("vastai", "ready")
    assert {"ours": 0, "orphaned": 0, "foreign": 0} == provider["machines"]
