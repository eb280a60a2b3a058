"""docs/configuration.md tells the truth: every setting, its names, its default."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.cli.config import flatten
from broker.config import Settings, load_settings, present_settings
from broker.config.names import environment_names, setting_paths
from tests.unit.documents import coded, document, rows, section

TEXT = document("configuration.md")
_PATHS = list(setting_paths())
_ROWS = {coded(row[0])[0]: row for row in rows(TEXT) if coded(row[0]) and len(row) == 4}
_IN_WORDS = {
    "data_dir": "the folder of the database",
    "lifecycle.deployment_id": "made at the first start",
    "logging.format": "`text` on a terminal, else `json`",
}
"""Defaults that are no value."""


def test_every_setting_is_described_once_in_the_order_of_the_settings() -> None:
    """Nothing can be set that the page does not tell."""
    described = [coded(row[0])[0] for row in rows(TEXT) if coded(row[0]) and len(row) == 4]

    assert described == _PATHS


@pytest.mark.parametrize("path", _PATHS)
def test_a_setting_has_its_variables_its_default_and_a_meaning(path: str) -> None:
    """As the code has them."""
    defaults = dict(flatten(present_settings(Settings())))
    _, variables, default, meaning = _ROWS[path]
    usual = [name for name in environment_names(path) if not name.startswith("PROVIDERS_")]

    assert coded(variables) == usual
    if path in _IN_WORDS:
        assert default == _IN_WORDS[path]
    elif defaults[path] in (None, []):
        assert default == "none"
    else:
        assert default == f"`{defaults[path]}`"
    assert meaning.endswith(".")


def test_what_the_page_calls_secret_is_secret() -> None:
    """And nothing else is."""
    secret = {path for path in _PATHS if "SecretStr" in str(_annotation(path))}

    told, _, _ = section(TEXT, "## Secrets").partition(" are\nsecret")

    assert set(coded(told)) == secret
    assert {path for path, row in _ROWS.items() if row[3].startswith("Secret")} == secret


@pytest.mark.parametrize(
    ("sources", "port"),
    [
        ("", 8080),
        ("yaml", 4),
        ("yaml dotenv", 3),
        ("yaml dotenv environment", 2),
        ("yaml dotenv environment flag", 1),
    ],
)
def test_the_order_of_the_sources_is_that_of_the_page(
    folder: Path, sources: str, port: int
) -> None:
    """Each source beats those below it."""
    (folder / "config.yaml").write_text("server: {port: 4}\n" if "yaml" in sources else "")
    (folder / ".env").write_text("SERVER_PORT=3\n" if "dotenv" in sources else "")

    settings = load_settings(
        file=folder / "config.yaml",
        environment={"SERVER_PORT": "2"} if "environment" in sources else {},
        flags={"server.port": 1} if "flag" in sources else {},
    )

    assert settings.server.port == port
    assert [row[1] for row in rows(section(TEXT, "## Where settings come from"))][1:] == [
        "the command line",
        "the environment",
        "the `.env` file",
        "the YAML file",
        "the default",
    ]


def _annotation(path: str) -> object:
    annotation: object = Settings
    for word in path.split("."):
        annotation = annotation.model_fields[word].annotation  # type: ignore[attr-defined]
    return annotation
