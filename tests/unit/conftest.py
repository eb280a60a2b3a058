"""What the pure tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli_stub import StubApi, stub_api


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StubApi]:
    """A stub of the API that GPU_BROKER_URL leads to, and nothing remembered of earlier days."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with stub_api() as stub:
        monkeypatch.setenv("GPU_BROKER_URL", stub.url)
        yield stub
