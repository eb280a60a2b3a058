"""Prints a command of the README: the fenced block that follows `<!-- command: NAME -->`.

Whoever checks the README runs what it says, so that the two cannot drift apart.
Usage: python3 .ci/readme_command.py NAME [README]
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

_BLOCK = re.compile(
    r"^<!-- command: (?P<name>[a-z]+) -->\n+```[a-z]*\n(?P<command>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def find_command(readme: str, name: str) -> str:
    """The command under `name`. Raises LookupError unless there is exactly one."""
    marks = readme.count(f"<!-- command: {name} -->")
    found = [block["command"] for block in _BLOCK.finditer(readme) if block["name"] == name]
    if (marks, len(found)) != (1, 1):
        raise LookupError(f"one marked block `{name}` is expected, {len(found)} of {marks} found")
    return found[0].strip()


if __name__ == "__main__":
    _, wanted, *files = sys.argv
    text = Path(*files or ["README.md"]).read_text(encoding="utf-8")
    sys.stdout.write(find_command(text, wanted) + "\n")
