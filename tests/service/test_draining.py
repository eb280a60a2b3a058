"""A provider that is not configured any more while sessions hang on it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from broker.app import sweep_once
from broker.app.identity import sealing_key
from broker.decide import moves
from broker.errors import StartupError
from broker.model import Confidential
from broker.store import Store
from providers.label import Label
from tests.builders import NOW, a_request, a_session, an_attempt
from tests.service.conftest import Broker, Serve, eventually
from tests.service.scenarios import (
    FOR_EVER,
    a_label,
    assert_sound,
    ended,
    kinds,
    made,
    market,
    metric,
    offers,
    running,
)

OFF: dict[str, Any] = {"providers__simulator__enabled": False}


async def account(broker: Broker) -> Any:
    """The one account, as the API shows it."""
    _, body = await broker.call("GET", "/api/v1/providers")
    (one,) = body["providers"]
    return one


def rename(folder: Path, before: str, after: str) -> None:
    """Let everything in the database be at another provider."""
    with closing(sqlite3.connect(folder / "broker.db")) as database, database:
        database.execute("UPDATE sessions SET provider = ? WHERE provider = ?", (after, before))
        for table in ("sessions", "attempts"):
            database.execute(
                f"UPDATE {table} SET offer = json_set(offer, '$.provider', ?)",  # noqa: S608
                (after,),
            )


async def test_a_provider_that_is_switched_off_drains(serve: Serve) -> None:
    """Its sessions are looked after to their ends, and nothing new is rented there."""
    async with serve() as broker:
        session = await running(broker)
        offer = (await offers(broker, 1))[0]
    async with serve(**OFF) as broker:
        draining = await account(broker)
        assert ("degraded", True, 0) == (
            draining["state"],
            draining["draining"],
            draining["offers"],
        )
        assert "draining: 1 session left; it is switched off" in draining["reasons"][-1]
        assert 1 == draining["machines"]["ours"]

        for wish in ({}, {"offer_id": offer["id"]}, {"provider": "simulator"}):
            status, refusal = await broker.rent(consumer_id="another", **wish)
            assert (503, "provider_unavailable", False) == (
                status,
                refusal["code"],
                refusal["retry_suggested"],
            )
            assert "simulator takes no new sessions" in refusal["error"]

        assert "running" == (await broker.session(session["id"]))["status"]
        await broker.call("POST", f"/api/v1/sessions/{session['id']}/done")
        assert "stopped" == (await ended(broker, session["id"]))["status"]
        assert "drained: no session is left" in (await account(broker))["reasons"][-1]
        assert 0 == await metric(broker, 'gpu_inventory_offers{provider="simulator"}')
        assert (200, "ok") == await health(broker)
        await assert_sound(broker)
    with pytest.raises(StartupError, match="No provider is configured"):
        async with serve(**OFF):
            pass


async def test_an_orphan_is_enough_to_be_looked_after(serve: Serve) -> None:
    """No session is left there, and a machine of ours is: it is destroyed after the grace."""
    async with serve(lifecycle__orphan_grace_period="1h") as broker:
        orphan = await made(broker, a_label(broker))
        store = broker.parts.tools.store

        async def is_seen() -> bool:
            return [one.instance_id for one in await store.sightings("simulator")] == [orphan]

        await eventually(is_seen)
    async with serve(**OFF) as broker:

        async def is_gone() -> bool:
            return not await market(broker).list_instances()

        await eventually(is_gone)
        assert "drained: no session is left" in (await account(broker))["reasons"][-1]


async def health(broker: Broker) -> tuple[int, str]:
    """The status of /health, and the word in it."""
    status, body = await broker.call("GET", "/health")
    return status, body["status"]


async def test_no_alert_waits_for_the_market_of_what_drains(serve: Serve) -> None:
    """It is not read, and not empty either."""
    async with serve() as broker:
        await running(broker)
    async with serve(**OFF) as broker:
        async with broker.client.get(f"{broker.url}/metrics") as response:
            text = await response.text()
        assert 'gpu_inventory_offers{provider="simulator"}' not in text
        assert 'gpu_destructions_failing{provider="simulator"} 0' in text
    async with serve() as broker:
        _, body = await broker.call("GET", "/api/v1/sessions")
        await broker.call("DELETE", f"/api/v1/sessions/{body['sessions'][0]['id']}")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("vastai", "its credentials are gone, set VASTAI_API_KEY (providers.vastai.api_key)"),
        ("elsewhere", "this version of gpu-broker does not know it"),
    ],
)
@pytest.mark.parametrize("settings", [OFF, {}], ids=["alone", "beside another"])
async def test_sessions_at_an_account_that_cannot_be_spoken_to_are_not_forgotten(
    serve: Serve,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    name: str,
    words: str,
    settings: dict[str, Any],
) -> None:
    """The broker starts, tells whoever looks, and goes on as soon as the account is back."""
    async with serve() as broker:
        session = await running(broker)
    rename(tmp_path, "simulator", name)
    caplog.clear()
    async with serve(**settings) as broker:
        _, body = await broker.call("GET", "/api/v1/providers")
        stranded = next(one for one in body["providers"] if one["name"] == name)
        assert ("needs_setup", True) == (stranded["state"], stranded["draining"])
        assert (None, None) == (stranded["last_refresh"], stranded["coverage"])
        assert {None} == set(stranded["machines"].values())
        assert "draining: 1 session left" in stranded["reasons"][-1]
        assert words in stranded["reasons"][-1]
        assert (200, "degraded") == await health(broker)
        _, well = await broker.call("GET", "/health")
        assert [name] == [trouble.split()[0] for trouble in well["troubles"]]
        assert words in well["troubles"][0]

        await broker.call("POST", f"/api/v1/sessions/{session['id']}/done")

        async def is_told() -> bool:
            return "instance.destroy_failed" in kinds(await broker.events(session["id"]))

        await eventually(is_told)
        assert "stopping" == (await broker.session(session["id"]))["status"]
        events = await broker.parts.tools.store.events()
        (told,) = (event for event in events if event.type == "provider.draining")
        assert (name, 1) == (told.data["provider"], told.data["sessions"])
        status, refusal = await broker.call("GET", f"/api/v1/providers/{name}/instances")
        assert (503, True) == (status, words in refusal["error"])
    assert any(
        words in record.getMessage() for record in caplog.records if record.levelname == "ERROR"
    )
    assert not [record for record in caplog.records if record.exc_info]

    rename(tmp_path, name, "simulator")
    async with serve() as broker:
        assert "stopped" == (await ended(broker, session["id"]))["status"]
        await assert_sound(broker)


async def test_a_sweep_without_a_broker_tells_what_it_could_not_destroy(
    serve: Serve, tmp_path: Path
) -> None:
    """The machine of a session that was to end, and which account it did not see."""
    async with serve() as broker:
        session = await running(broker)
        settings = broker.parts.settings
        await broker.fault("error", "destroy", times=FOR_EVER)
        await broker.call("POST", f"/api/v1/sessions/{session['id']}/done")
    rename(tmp_path, "simulator", "vastai")

    report = await sweep_once(settings, dry_run=False, patience=timedelta(seconds=2))

    (action,) = report.actions
    assert ("destroy", "vastai", session["id"], session["provider_instance_id"], False) == (
        action.action,
        action.provider,
        action.session_id,
        action.instance_id,
        action.is_done,
    )
    assert "set VASTAI_API_KEY" in action.reason
    assert ["vastai"] == list(report.unlisted)


async def test_what_was_never_sent_is_not_rented_where_nothing_new_is(serve: Serve) -> None:
    """A session that was recorded before the provider was switched off fails without a machine."""
    async with serve() as broker:
        kept = await running(broker)
        deployment = broker.parts.tools.rules.deployment
        data_dir = broker.parts.settings.data_dir
        url = broker.parts.settings.database.url
        now = broker.parts.tools.now()
    span = now - NOW
    recorded = a_session(
        request=a_request(consumer_id="late"),
        created_at=now,
        expires_at=a_session().expires_at + span,
        hard_max_at=a_session().hard_max_at + span,
        label_deadline=a_session().label_deadline + span,
    )
    label = str(Label(deployment, recorded.id, recorded.label_deadline, 1))
    attempt = an_attempt(label=label, started_at=now)
    store = await Store.open(url, key=sealing_key(data_dir), now=lambda: now)
    await store.add_session(moves.record(recorded, attempt), Confidential())
    await store.close()

    async with serve(**OFF) as broker:
        over = await ended(broker, recorded.id)
        assert ("failed", "provider_unavailable") == (over["status"], over["status_reason"])
        assert "simulator takes no new sessions" in over["error"]
        await broker.call("DELETE", f"/api/v1/sessions/{kept['id']}")
        await assert_sound(broker)
