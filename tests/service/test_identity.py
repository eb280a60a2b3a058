"""What a deployment keeps, and what it says when it has lost it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.service.conftest import Serve


async def test_the_deployment_id_survives_the_loss_of_the_database(
    serve: Serve, tmp_path: Path
) -> None:
    """The data folder remembers the id, and the database does: either restores the other."""
    async with serve() as broker:
        first = broker.parts.deployment
    for file in tmp_path.glob("broker.db*"):
        file.unlink()
    async with serve() as broker:
        assert (first.id, False) == (broker.parts.deployment.id, broker.parts.deployment.is_new)
    (tmp_path / "deployment-id").unlink()
    async with serve() as broker:
        assert first.id == broker.parts.deployment.id
    assert first.id == (tmp_path / "deployment-id").read_text().strip()


async def test_a_broker_that_forgot_who_it_was_says_so(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Both memories lost: its own machines are foreign now, and the log tells what to do."""
    async with serve() as broker:
        _, body = await broker.rent()
        await broker.until(body["session"]["id"], "running")
    for file in (*tmp_path.glob("broker.db*"), tmp_path / "deployment-id"):
        file.unlink()
    async with serve() as broker:
        assert {"ours": 0, "orphaned": 0, "foreign": 1} == await broker.machines()
    assert "cleanup-orphans --deployment" in caplog.text


async def test_secrets_are_for_their_owner_alone(serve: Serve, tmp_path: Path) -> None:
    """Keys, the database and the account can be read by nobody else."""
    async with serve():
        for name in ("broker_ed25519", "secret.key", "broker.db", "simulator.db"):
            mode = stat.S_IMODE((tmp_path / name).stat().st_mode)
            assert 0o600 == mode, name
