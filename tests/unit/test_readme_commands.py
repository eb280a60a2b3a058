"""The README's two commands can be found by whoever checks them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / ".ci" / "readme_command.py"


def readme_command(name: str, readme: Path) -> subprocess.CompletedProcess[str]:
    """What the program finds."""
    command = [sys.executable, str(PROGRAM), name, str(readme)]
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (ours)


@pytest.mark.parametrize(
    ("name", "installs", "end"),
    [
        ("demo", ".", ".venv/bin/gpu-broker demo"),
        ("test", "--editable '.[dev,vastai]'", ".venv/bin/pytest"),
    ],
)
def test_the_readme_has_each_command_once_and_in_one_line(
    name: str, installs: str, end: str
) -> None:
    """One command from zero to the main job with the base alone, one from zero to passing tests."""
    found = readme_command(name, ROOT / "README.md")

    assert found.stderr == ""
    (command,) = found.stdout.splitlines()
    assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")
    assert f" --constraint constraints.txt {installs} && {end}" in command


@pytest.mark.parametrize(
    "text",
    [
        "no block",
        "<!-- command: test -->\nno fence\n",
        "<!-- command: test -->\n\n```bash\na\n```\n\n<!-- command: test -->\n```\nb\n```\n",
        "<!-- command: test -->\ntext\n\n```bash\na\n```\n",
    ],
)
def test_a_missing_or_second_block_is_an_error(tmp_path: Path, text: str) -> None:
    """A check that finds nothing to run must not pass."""
    readme = tmp_path / "README.md"
    readme.write_text(text)

    assert readme_command("test", readme).returncode == 1


def test_the_block_after_the_mark_is_found(tmp_path: Path) -> None:
    """Other blocks of the same file are left alone."""
    readme = tmp_path / "README.md"
    readme.write_text("```\na\n```\n<!-- command: test -->\n\n```bash\nb && c\n```\n```\nd\n```\n")

    assert readme_command("test", readme).stdout == "b && c\n"
