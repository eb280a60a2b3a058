"""`gpu-broker sweep`: what it tells of what it could not do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broker.store.lock import DatabaseLock
from tests.unit.cli_stub import StubApi, gpu_broker

DESTROYED = {
    "action": "destroy",
    "session_id": None,
    "provider": "vastai",
    "instance_id": "i-1",
    "reason": "vastai answers 500.",
    "done": True,
}
UNDESTROYED = {**DESTROYED, "done": False}


@pytest.fixture
def database(api: StubApi, tmp_path: Path) -> Iterator[Path]:
    """A database that the broker behind the stub holds."""
    path = tmp_path / "broker.db"
    lock = DatabaseLock.acquire(path, api.url)
    yield path
    lock.release()


@pytest.mark.parametrize(
    ("report", "code", "stdout", "stderr"),
    [
        ({}, 0, "There is nothing to do.", ""),
        ({"unlisted": {"vastai": "no answer"}}, 1, "", "vastai cannot be listed: no answer"),
        ({"actions": [DESTROYED]}, 0, "i-1", ""),
        ({"actions": [UNDESTROYED]}, 1, "i-1", "Machine i-1 of vastai is not destroyed: vastai"),
        ({"actions": [UNDESTROYED], "dry_run": True}, 0, "i-1", ""),
    ],
    ids=["nothing", "not asked", "destroyed", "not destroyed", "only told"],
)
def test_what_a_sweep_could_not_do_is_told_and_counts(
    api: StubApi, database: Path, report: dict[str, Any], code: int, stdout: str, stderr: str
) -> None:
    """By the exit code too: whoever runs it from a timer must run it again."""
    api.answers("POST /api/v1/sweep", {"dry_run": False, "actions": [], "unlisted": {}} | report)

    result = gpu_broker("sweep", "--once", "--simulate", "--database", str(database))

    assert result.exit_code == code
    assert stdout in result.stdout
    assert bool(stdout) == bool(result.stdout)
    assert stderr in result.stderr
