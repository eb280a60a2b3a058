"""docs/promises.md tells what cannot happen, and every line is held by a test that exists."""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache

from tests.unit.documents import ROOT, coded, document, rows, section

PROMISES = document("promises.md")
GROUPS = [
    *("Creating", "Verifying", "Living", "Ending"),
    *("Restart", "Orphans", "Money", "Keys"),
]


def _promises() -> list[tuple[str, ...]]:
    """What cannot happen, why, and the tests: of every line below a heading."""
    tables = (rows(section(PROMISES, f"## {group}")) for group in GROUPS)
    return [row for table in tables for row in list(table)[1:]]


@cache
def _tests_of(file: str) -> frozenset[str]:
    """As pytest names them within a file: those of a class stand behind its name."""
    if not (ROOT / file).is_file():
        return frozenset()
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    names = set()
    for node in ast.parse((ROOT / file).read_text(encoding="utf-8")).body:
        inner = node.body if isinstance(node, ast.ClassDef) else ()
        names |= {f"{node.name}::{one.name}" for one in inner if isinstance(one, functions)}
        names |= {node.name} if isinstance(node, functions) else set()
    return frozenset(names)


def _exists(name: str) -> bool:
    file, _, test = name.partition("::")
    return test in _tests_of(file)


def test_the_groups_follow_the_life_of_a_session() -> None:
    """And every table stands below one of them."""
    headings = re.findall(r"^## (.+)$", PROMISES, re.MULTILINE)

    assert headings == GROUPS
    assert len(_promises()) == sum(len(row) == 3 for row in rows(PROMISES)) - len(GROUPS)


def test_every_promise_is_held_by_tests_that_exist() -> None:
    """By one at least, named as pytest takes it."""
    held = {what: coded(tests) for what, _, tests in _promises()}

    assert [what for what, names in held.items() if not names] == []
    assert [name for names in held.values() for name in names if not _exists(name)] == []


def test_no_promise_is_given_twice_or_without_its_reason() -> None:
    """Each has a rule of its own words, in whole sentences."""
    told = Counter(what for what, _, _ in _promises())

    assert [what for what, count in told.items() if count > 1] == []
    sentences = [cell for what, why, _ in _promises() for cell in (what, why)]
    assert [cell for cell in sentences if not cell.endswith(".") or len(cell) < 10] == []
