"""The example configuration tells the truth: every key, its default, a comment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from broker.config import Settings, load_settings
from broker.config.names import environment_names, setting_paths

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"


def leaves(tree: Mapping[str, object], prefix: str = "") -> Iterator[str]:
    """The dotted path of every value."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


@pytest.mark.usefixtures("folder")
def test_the_example_is_the_defaults() -> None:
    """Copying it unchanged changes nothing that a setting says."""
    settings = load_settings(file=EXAMPLE, environment={})

    assert settings == Settings()
    assert not settings.lifecycle.orphan_grace_is_explicit


def test_the_example_has_every_key_in_the_order_of_the_settings() -> None:
    """Nothing can be set that the example does not show."""
    tree = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))

    assert list(leaves(tree)) == list(setting_paths())


def test_every_key_of_the_example_has_a_comment_above_it() -> None:
    """A reader learns what each key is for."""
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    values = [n for n, line in enumerate(lines) if ":" in line and not _opens_section(lines, n)]
    keys = [n for n in values if not lines[n].lstrip().startswith("#")]

    assert len(keys) == len(list(setting_paths()))
    assert [lines[n] for n in keys if not lines[n - 1].lstrip().startswith("#")] == []


def test_the_variables_that_the_example_names_exist() -> None:
    """A name in a comment is one that works."""
    known = {name for path in setting_paths() for name in environment_names(path)}
    comments = [line for line in EXAMPLE.read_text("utf-8").splitlines() if "# " in line]
    words = {word.strip(".,()") for line in comments for word in line.split()}
    named = {word for word in words if "_" in word and word.isupper()}

    assert named - known == set()
    assert {"DATABASE_PATH", "VAST_API_KEY", "LIFECYCLE_LOST_AFTER"} <= named


def _opens_section(lines: list[str], n: int) -> bool:
    """Whether the next line that says something is indented deeper."""
    following = next((line for line in lines[n + 1 :] if line.strip()), "")
    return _depth(following) > _depth(lines[n])


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())
