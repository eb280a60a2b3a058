"""What the documents show works when somebody runs it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

from tests.e2e.cli_broker import CommandLine
from tests.unit.documents import blocks, document


@pytest.mark.skipif(shutil.which("ssh") is None, reason="there is no OpenSSH here")
def test_the_agent_of_the_workflows_rents_uses_and_ends_a_machine(broker: CommandLine) -> None:
    """The program as it is printed, against a broker."""
    (program,) = blocks(document("workflows.md"), "python")

    done = subprocess.run(  # noqa: S603 - the program of the document
        [sys.executable, "-c", program],
        env=broker.variables(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "NVIDIA GeForce RTX 4090" in done.stdout
    assert re.search(r"^stopped, \$0\.\d+$", done.stdout, re.MULTILINE)
    assert broker.ask("sessions", "list", "--consumer-id", "agent")["total"] == 1
