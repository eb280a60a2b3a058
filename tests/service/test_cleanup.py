"""Cleaning up an account without a server: what it calls destroyed is gone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from broker.app import offline
from broker.app.offline import cleanup_orphans
from tests.service.conftest import Serve
from tests.service.scenarios import FOR_EVER, a_label, made, running

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
