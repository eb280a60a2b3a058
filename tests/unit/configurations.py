"""Helpers of the tests about settings: files, and the mistakes in them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from broker.config import ConfigurationError, load_settings

SECRET = "key-4711-abcdef"


def write(folder: Path, text: str, name: str = "config.yaml") -> Path:
    """A file in `folder`."""
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def problems_of(
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> dict[str, str]:
    """Every problem of a configuration: path -> message."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings(file=file, environment=environment or {}, flags=flags or {})
    return {problem.path: problem.message for problem in caught.value.problems}
