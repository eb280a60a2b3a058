"""Cleaning up an account without a server: what it calls destroyed is gone."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from broker.app import offline
from broker.app.offline import cleanup_orphans
from broker.decide.cleanup import Verdict
from broker.errors import StartupError
from tests.service.conftest import Serve
from tests.service.scenarios import FOR_EVER, a_label, made, running
from tests.service.test_draining import OFF, rename

UNSEEN = "Destroying was accepted; whether the machine is gone cannot be seen: "


@pytest.mark.parametrize(
    ("faults", "left"),
    [
        ({}, None),
        ({"ignored": "destroy"}, "Destroying was accepted, and the machine is still there."),
        ({"error": "get"}, UNSEEN + "The market does not serve this call."),
    ],
    ids=["gone", "there", "unseen"],
)
async def test_only_a_machine_that_is_gone_is_called_destroyed(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, faults: dict[str, str], left: str | None
) -> None:
    """Its provider accepted the end of each; the machine of a live session is left alone."""
    monkeypatch.setattr(offline, "PROOF_PATIENCE", timedelta(0))
    planned = [
        {"fault": fault, "operation": operation, "times": FOR_EVER}
        for fault, operation in faults.items()
    ]
    async with serve(lifecycle__orphan_grace_period="1h") as broker:
        session = await running(broker)
        orphan = await made(broker, a_label(broker))
    async with serve(
        lifecycle__orphan_grace_period="1h",
        providers__simulator__ssh=False,
        providers__simulator__faults=planned,
    ) as broker:
        lifecycle = broker.parts.settings.lifecycle.model_copy(
            update={"orphan_grace_period": timedelta(0)}
        )
        settings = broker.parts.settings.model_copy(update={"lifecycle": lifecycle})
    report = await cleanup_orphans(settings, execute=True, force=False, provider=None)

    assert {(session["provider_instance_id"], False, None), (orphan, left is None, left)} == {
        (row.instance.id, row.destroyed, row.problem) for row in report.rows
    }


@pytest.mark.parametrize("settings", [OFF, {}], ids=["alone", "beside another"])
async def test_an_account_whose_credentials_are_gone_is_no_clean_one(
    serve: Serve, tmp_path: Path, settings: dict[str, Any]
) -> None:
    """The report names it, how many sessions live there, and the setting to put back."""
    async with serve() as broker:
        await running(broker)
    rename(tmp_path, "simulator", "vastai")
    async with serve(**settings) as broker:
        loaded = broker.parts.settings
    report = await cleanup_orphans(loaded, execute=False, force=False, provider=None)

    assert ["vastai"] == list(report.unlisted)
    assert report.unlisted["vastai"].startswith("vastai is draining: 1 session left")
    assert "set VASTAI_API_KEY (providers.vastai.api_key)" in report.unlisted["vastai"]
    with pytest.raises(StartupError, match="vastai is draining: 1 session left"):
        await cleanup_orphans(loaded, execute=False, force=False, provider="vastai")


async def test_an_account_that_was_switched_off_is_looked_at_too(serve: Serve) -> None:
    """As long as something of ours may be there."""
    async with serve() as broker:
        session = await running(broker)
    async with serve(**OFF) as broker:
        loaded = broker.parts.settings
    report = await cleanup_orphans(loaded, execute=False, force=False, provider=None)

    assert [(session["provider_instance_id"], Verdict.CLAIMED)] == [
        (row.instance.id, row.judgement.verdict) for row in report.rows
    ]


async def test_the_database_tells_which_machines_are_ours(serve: Serve, tmp_path: Path) -> None:
    """Where the file beside it is lost."""
    async with serve() as broker:
        await running(broker)
        loaded = broker.parts.settings
    (tmp_path / "deployment-id").unlink()
    report = await cleanup_orphans(loaded, execute=False, force=False, provider=None)

    assert [Verdict.CLAIMED] == [row.judgement.verdict for row in report.rows]


async def test_a_database_that_was_emptied_makes_no_orphans(serve: Serve, tmp_path: Path) -> None:
    """Nobody knows any more which sessions live: nothing is concluded from that."""
    async with serve(lifecycle__orphan_grace_period="0s") as broker:
        await running(broker)
        loaded = broker.parts.settings
    (tmp_path / "broker.db").write_bytes(b"")
    with pytest.raises(StartupError, match="is empty, although a broker has worked here"):
        await cleanup_orphans(loaded, execute=True, force=True, provider=None)
