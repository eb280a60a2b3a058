"""docs/wire/ is what the code and the tests take it for."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import pytest

from providers.tensordock.creation import present_creation
from providers.tensordock.wire import parse_instance
from providers.vastai.walk import present_search
from tests.unit.documents import ROOT, blocks, coded, document, rows, section
from tests.unit.tensordock_rows import a_spec

GRADES = {
    "wire/vastai.md": {"R", "S", "D", "L", "?"},
    "wire/tensordock.md": {"L", "O", "D", "C", "T", "?"},
}
TESTS_OF = {"wire/vastai.md": "contract", "wire/tensordock.md": "."}
"""Where the tests that hold what costs money are looked for."""
_PROGRAMS = [
    path for room in ("broker", "providers", "tests") for path in (ROOT / room).rglob("*.py")
]

every_page = pytest.mark.parametrize("page", GRADES)


@every_page
def test_the_sections_that_code_refers_to_exist(page: str) -> None:
    """`(docs/wire/vastai.md, "Limits")` leads somewhere."""
    headings = set(re.findall(r"^## (.+)$", document(page), re.MULTILINE))
    cited = rf'docs/{re.escape(page)},\s+"([^"]+)"'
    found = {name for path in _PROGRAMS for name in re.findall(cited, path.read_text())}

    assert any(f"docs/{page}" in path.read_text() for path in _PROGRAMS)
    assert found - headings == set()


@every_page
def test_what_costs_money_is_held_by_tests_that_exist(page: str) -> None:
    """Each of the ten names at least one of them."""
    dangers = section(document(page), "## Ten things that cost money")
    ten = re.split(r"^\d+\. ", dangers, flags=re.MULTILINE)[1:]
    folder = ROOT / "tests" / TESTS_OF[page]
    defined = set(
        re.findall(r"def (test_\w+)", "".join(path.read_text() for path in folder.rglob("*.py")))
    )
    named = [{name for name in coded(thing) if name.startswith("test_")} for thing in ten]

    assert len(ten) == 10
    assert all(named)
    assert set().union(*named) - defined == set()


@every_page
def test_every_fact_in_a_table_has_a_known_grade(page: str) -> None:
    """How surely it is known is the point of the page."""
    text = document(page)
    grades = {row[0] for row in rows(text) if len(row) == 2 and len(row[0]) == 1}
    tables = re.findall(r"^\| .+ \| grade \|\n((?:\|.*\n)+)", text, re.MULTILINE)
    cells = [row[-1] for table in tables for row in rows(table)]

    assert grades == GRADES[page]
    assert {grade for cell in cells for grade in cell.split(", ")} - grades == set()


@pytest.mark.parametrize(
    ("page", "target"),
    [(page, link) for page in GRADES for link in re.findall(r"\]\(([^)]+)\)", document(page))],
)
def test_every_link_of_the_page_leads_somewhere(page: str, target: str) -> None:
    """To a file, and to a heading in it."""
    name, _, anchor = target.partition("#")
    file = (ROOT / "docs" / page).parent / name if name else ROOT / "docs" / page
    headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}

    assert not anchor or anchor in anchors


def test_the_search_that_is_shown_is_the_one_that_is_sent() -> None:
    """So that whoever reads one knows the other."""
    (shown,) = blocks(document("wire/vastai.md"), "json")
    assert json.loads(shown) == present_search(Decimal("0.25"))


def test_the_creation_that_is_shown_has_the_form_of_the_one_that_is_sent() -> None:
    """Every field that is sent, and no other."""
    shown, _ = (json.loads(block) for block in blocks(document("wire/tensordock.md"), "json"))
    sent: Any = present_creation(a_spec(), "ubuntu2404")

    assert _form(shown) == _form(sent)


def test_the_machine_that_is_shown_is_read() -> None:
    """Its form is what the code expects."""
    _, shown = (json.loads(block) for block in blocks(document("wire/tensordock.md"), "json"))
    machine = parse_instance(shown | {"id": "1"}, "1")

    assert (machine.ssh[0].port, machine.gpu_type, machine.gpu_count) == (20456, "RTX 3090", 1)


def _form(value: Any) -> object:
    """The names in an object, and in those within it."""
    if isinstance(value, dict):
        return {name: _form(inner) for name, inner in value.items()}
    return [_form(value[0])] if isinstance(value, list) else None
