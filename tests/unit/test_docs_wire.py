"""docs/wire/ is what the code and the tests take it for."""

from __future__ import annotations

import json
import re
from decimal import Decimal

import pytest

from providers.vastai.walk import present_search
from tests.unit.documents import ROOT, blocks, coded, document, rows, section

PAGE = "wire/vastai.md"
TEXT = document(PAGE)
_HEADINGS = set(re.findall(r"^## (.+)$", TEXT, re.MULTILINE))
_PROGRAMS = [
    path for room in ("broker", "providers", "tests") for path in (ROOT / room).rglob("*.py")
]


def test_the_sections_that_code_refers_to_exist() -> None:
    """`(docs/wire/vastai.md, "Limits")` leads somewhere."""
    cited = rf'docs/{re.escape(PAGE)},\s+"([^"]+)"'
    found = {name for path in _PROGRAMS for name in re.findall(cited, path.read_text())}

    assert found
    assert found - _HEADINGS == set()


def test_what_costs_money_is_held_by_tests_that_exist() -> None:
    """Each of the ten names at least one of the contract."""
    ten = re.split(r"^\d+\. ", section(TEXT, "## Ten things that cost money"), flags=re.MULTILINE)[
        1:
    ]
    contract = "".join(path.read_text() for path in (ROOT / "tests" / "contract").glob("*.py"))
    defined = set(re.findall(r"def (test_\w+)", contract))
    named = [{name for name in coded(thing) if name.startswith("test_")} for thing in ten]

    assert len(ten) == 10
    assert all(named)
    assert set().union(*named) - defined == set()


def test_every_fact_in_a_table_has_a_known_grade() -> None:
    """How surely it is known is the point of the page."""
    grades = {row[0] for row in rows(TEXT) if len(row) == 2 and len(row[0]) == 1}
    tables = re.findall(r"^\| .+ \| grade \|\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    cells = [row[-1] for table in tables for row in rows(table)]

    assert grades == {"R", "S", "D", "L", "?"}
    assert {grade for cell in cells for grade in cell.split(", ")} - grades == set()


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)]+)\)", TEXT))
def test_every_link_of_the_page_leads_somewhere(target: str) -> None:
    """To a file, and to a heading in it."""
    name, _, anchor = target.partition("#")
    file = (ROOT / "docs" / PAGE).parent / name if name else ROOT / "docs" / PAGE
    headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}

    assert not anchor or anchor in anchors


def test_the_search_that_is_shown_is_the_one_that_is_sent() -> None:
    """So that whoever reads one knows the other."""
    (shown,) = blocks(TEXT, "json")
    assert json.loads(shown) == present_search(Decimal("0.25"))
