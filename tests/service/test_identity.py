"""What a deployment keeps, and what it says when it has lost it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from broker.errors import StartupError
from tests.service.conftest import Serve, eventually
from tests.service.scenarios import a_label, assert_sound, made, reconciled, running


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


async def test_a_deployment_of_a_chosen_name_knows_its_machines(
    serve: Serve, tmp_path: Path
) -> None:
    """Its sessions stay, its orphans go; another deployment in the account touches neither."""
    async with serve(lifecycle__deployment_id="prod-1") as broker:
        session = await running(broker)
        assert {"ours": 1, "orphaned": 0, "foreign": 0} == await broker.machines()
    elsewhere = {"database__url": str(tmp_path / "other.db"), "data_dir": str(tmp_path)}
    async with serve(
        lifecycle__deployment_id="prod-2", lifecycle__orphan_grace_period="0s", **elsewhere
    ) as broker:
        await reconciled(broker, 4)
        assert {"ours": 0, "orphaned": 0, "foreign": 1} == await broker.machines()
    async with serve(lifecycle__deployment_id="prod-1") as broker:
        await made(broker, a_label(broker))

        async def is_alone() -> bool:
            return {"ours": 1, "orphaned": 0, "foreign": 0} == await broker.machines()

        await eventually(is_alone)
        assert "running" == (await broker.session(session["id"]))["status"]
        status, _ = await broker.call("DELETE", f"/api/v1/sessions/{session['id']}")
        assert 200 == status
        await assert_sound(broker, unheld=1)


async def test_the_key_of_a_consumer_is_written_nowhere(serve: Serve, tmp_path: Path) -> None:
    """Neither the key nor the token of the answer, in any file."""
    async with serve() as broker:
        _, body = await broker.rent()
        await broker.until(body["session"]["id"], "running")
        seed = body["ssh_private_key"].splitlines()[4]
        secrets = [text.encode() for text in (seed, body["session_token"])]
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert {"broker.db", "broker.db-wal"} <= {path.name for path in files}
        assert [] == [
            path for path in files if any(secret in path.read_bytes() for secret in secrets)
        ]


async def test_secrets_are_for_their_owner_alone(serve: Serve, tmp_path: Path) -> None:
    """Keys, the database and the account can be read by nobody else."""
    async with serve():
        for name in ("broker_ed25519", "secret.key", "broker.db", "simulator.db"):
            mode = stat.S_IMODE((tmp_path / name).stat().st_mode)
            assert 0o600 == mode, name


async def test_a_database_that_was_emptied_is_not_begun_anew(serve: Serve, tmp_path: Path) -> None:
    """A broker has worked here: what it held is lost only if somebody says so."""
    async with serve():
        pass
    database = tmp_path / "broker.db"
    database.write_bytes(b"")
    with pytest.raises(StartupError, match="is empty, although a broker has worked here"):
        async with serve():
            pass
    assert database.read_bytes() == b""
    (tmp_path / "deployment-id").unlink()
    async with serve():
        pass


@pytest.mark.parametrize(
    "content",
    [b"", b" \n", b"4f2k9qzw\x00\x00", b"\xff\xfe\x00", b"4f2k9qzw\nm5ujgowk\n", b"4" * 200],
    ids=["empty", "blank", "torn", "binary", "two lines", "long"],
)
async def test_a_file_that_holds_no_deployment_id_is_refused(
    serve: Serve, tmp_path: Path, content: bytes
) -> None:
    """Whoever takes it, or makes a new one, takes its own machines for another broker's."""
    async with serve() as broker:
        remembered = broker.parts.deployment.id
    file = tmp_path / "deployment-id"
    file.write_bytes(content)
    with pytest.raises(StartupError, match=f"{file} does not hold a deployment id") as refused:
        await started(serve)
    assert f"The database remembers {remembered}: remove the file" in str(refused.value)
    assert content == file.read_bytes()

    for one in tmp_path.glob("broker.db*"):
        one.unlink()
    with pytest.raises(StartupError, match="Put it back from a backup, or set DEPLOYMENT_ID"):
        await started(serve)
    assert remembered == await started(serve, lifecycle__deployment_id=remembered)
    assert remembered == await started(serve)


async def test_a_file_and_a_database_that_do_not_agree_are_refused(
    serve: Serve, tmp_path: Path
) -> None:
    """One of them is another deployment's; somebody has to say which."""
    remembered = await started(serve)
    file = tmp_path / "deployment-id"
    file.write_text("m5ujgowk\n")
    with pytest.raises(StartupError) as refused:
        await started(serve)
    assert f"{file} holds the deployment id m5ujgowk, and the database {remembered}" in str(
        refused.value
    )
    assert "Set DEPLOYMENT_ID to the one" in str(refused.value)
    assert "m5ujgowk" == await started(serve, lifecycle__deployment_id="m5ujgowk")
    assert "m5ujgowk" == await started(serve)


async def started(serve: Serve, **settings: str) -> str:
    """The id of a broker that starts and stops."""
    async with serve(**settings) as broker:
        return broker.parts.deployment.id
