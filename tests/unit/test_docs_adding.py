"""docs/adding-a-provider.md tells all that a marketplace takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.config import Settings
from providers.registry import FACTORIES
from tests.unit.documents import ROOT, coded, document, section

PAGE = document("adding-a-provider.md")


def _shared() -> Iterator[Path]:
    """The files that are not of one marketplace alone."""
    yield ROOT / "pyproject.toml"
    yield from (ROOT / "broker").rglob("*.py")
    yield from (ROOT / "providers").glob("*.py")


def test_a_marketplace_is_named_where_the_page_says_and_nowhere_else() -> None:
    """The example came second: whatever names it was needed for it."""
    naming = {
        str(path.relative_to(ROOT))
        for path in _shared()
        if "tensordock" in path.read_text().lower()
    }
    told = {span for span in coded(section(PAGE, "### 4. Put it in")) if (ROOT / span).is_file()}

    assert naming <= told
    assert told - naming <= {"config.example.yaml"}


@pytest.mark.parametrize("name", FACTORIES)
def test_a_provider_is_a_folder_settings_a_factory_and_a_fixture(name: str) -> None:
    """Each where the page looks for it."""
    fixtures = (ROOT / "tests" / "contract" / "conftest.py").read_text()

    assert (ROOT / "providers" / name / "adapter.py").is_file()
    assert name in type(Settings().providers).model_fields
    assert f"\nasync def {name}(" in fixtures


def test_the_modules_that_the_page_names_exist() -> None:
    """In the folder of the example, or of all."""
    spans = {span for span in coded(PAGE) if span.endswith((".py", ".toml", ".md", ".yaml"))}
    folders = (ROOT, ROOT / "docs", ROOT / "providers" / "tensordock")
    missing = [
        span
        for span in spans
        if "NAME" not in span and not any([*folder.glob(span)] for folder in folders)
    ]

    assert missing == []
