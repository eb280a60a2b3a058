"""The documents of `docs/`, as the tests read them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[2]
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))


def document(name: str) -> str:
    """The text of `docs/NAME`."""
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def rows(text: str) -> Iterator[tuple[str, ...]]:
    """The cells of every row of every table, headings included."""
    for line in text.splitlines():
        if line.startswith("| "):
            yield tuple(cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])


def coded(cell: str) -> list[str]:
    """What stands between backticks."""
    return re.findall(r"`([^`]+)`", cell)


def section(text: str, heading: str) -> str:
    """What stands below a heading, up to the next one of the same rank or a higher one."""
    rank = heading.partition(" ")[0]
    _, _, after = text.partition(f"{heading}\n")
    assert after, heading
    return re.split(rf"^#{{1,{len(rank)}}} ", after, maxsplit=1, flags=re.MULTILINE)[0]


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language, also those within lists."""
    fenced = rf"^( *)```{language}\n(.*?)^\1```$"
    return [dedent(block) for _, block in re.findall(fenced, text, re.MULTILINE | re.DOTALL)]
