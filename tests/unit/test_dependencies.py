"""What the README's test command installs fits together."""

from __future__ import annotations

import subprocess
import sys


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The interpreter of the tests, run once more."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (ours)


def test_all_extras_live_in_one_environment() -> None:
    """The client of Vast.ai pins versions exactly; nothing of ours asks for others."""
    checked = python("-m", "pip", "check", "--disable-pip-version-check")

    assert (checked.returncode, checked.stdout) == (0, "No broken requirements found.\n")


def test_the_client_of_vastai_warns_of_nothing() -> None:
    """The tests take a warning for an error, so its import must raise none; no part is missing."""
    imported = python("-W", "error", "-c", "import vastai; print(vastai.SyncClient.__name__)")

    assert (imported.stderr, imported.stdout) == ("", "SyncClient\n")
