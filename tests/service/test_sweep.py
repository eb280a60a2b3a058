"""Sweeps of a serving broker: leases, idleness, orphans, what is told and what is done."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from broker.clock import utcnow
from broker.model import Change
from providers.label import Label, parse_label
from providers.simulator.home import FOLDER
from tests.service.conftest import UNHURRIED, Broker, Serve, eventually
from tests.service.scenarios import (
    FOR_EVER,
    a_label,
    assert_sound,
    ended,
    instant,
    kinds,
    made,
    market,
    metric,
    reconciled,
    running,
    shorten,
)


async def alive(broker: Broker) -> set[str]:
    """The ids of all machines of the account."""
    return {instance.id for instance in await market(broker).list_instances()}


async def watch_idleness(broker: Broker, session_id: str, threshold: timedelta) -> None:
    """Let a session end when idle for so long. Clients may ask for whole minutes only."""
    await broker.parts.tools.journal.apply(
        session_id,
        lambda session, _: Change(
            "hasten",
            replace(session, request=replace(session.request, idle_threshold=threshold)),
        ),
    )


def _label(broker: Broker) -> Label:
    """The label of a session that no database knows."""
    label = parse_label(a_label(broker))
    assert label is not None
    return label


def disk(broker: Broker, session: Any) -> Path:
    """The home of a session's machine; the file `gpu_util` says how busy its GPUs are."""
    machines = broker.parts.settings.data_dir / FOLDER
    return machines / session["provider_instance_id"] / "root"


async def test_a_session_ends_at_the_instant_of_its_expiry(serve: Serve) -> None:
    """The end does not wait for the next look at the sessions."""
    async with serve(**UNHURRIED) as broker:
        session = await running(broker)
        due_at = await shorten(broker, session["id"], timedelta(milliseconds=300))
        session = await ended(broker, session["id"])

        assert ("stopped", "expired") == (session["status"], session["status_reason"])
        assert instant(session["stopped_at"]) > due_at - timedelta(milliseconds=1)
        (stopping,) = (
            e for e in await broker.events(session["id"]) if e["type"] == "session.stopping"
        )
        told = datetime.fromisoformat(stopping["data"]["due_at"])
        assert abs(told - due_at) < timedelta(milliseconds=1)
        labels = '{provider="simulator",reason="expired"}'
        assert 1 == await metric(broker, f"gpu_sessions_ended_total{labels}")
        await assert_sound(broker)


async def test_an_extended_session_does_not_end_at_its_first_end(serve: Serve) -> None:
    """The alarm goes with the lease."""
    async with serve(**UNHURRIED) as broker:
        first, second = await running(broker, consumer_id="first"), await running(broker)
        await shorten(broker, first["id"], timedelta(milliseconds=600))
        status, _ = await broker.call(
            "POST", f"/api/v1/sessions/{first['id']}/extend", {"additional_hours": 1}
        )
        assert 200 == status
        await shorten(broker, second["id"], timedelta(milliseconds=700))
        await ended(broker, second["id"])

        assert "running" == (await broker.session(first["id"]))["status"]
        await assert_sound(broker, machines=1)


async def test_the_hard_maximum_ends_a_session(serve: Serve) -> None:
    """However long the reservation is."""
    async with serve(**UNHURRIED) as broker:
        session = await running(broker)
        now = utcnow()
        await broker.parts.tools.journal.apply(
            session["id"], lambda s, _: Change("extend", replace(s, hard_max_at=now))
        )
        session = await ended(broker, session["id"])

        assert ("stopped", "hard_maximum") == (session["status"], session["status_reason"])
        await assert_sound(broker)


async def test_a_session_that_expires_while_its_machine_boots_leaves_none(
    broker: Broker,
) -> None:
    """The lease binds from the first instant on."""
    await broker.fault("never_boots", "boot")
    _, body = await broker.rent(auto_retry=True)
    await shorten(broker, body["session"]["id"], timedelta(milliseconds=200))
    session = await ended(broker, body["session"]["id"])

    assert ("stopped", "expired", 1) == (
        session["status"],
        session["status_reason"],
        len(session["attempts"]),
    )
    await assert_sound(broker)


async def test_an_approaching_end_is_announced_once_for_each_end(broker: Broker) -> None:
    """Five minutes before the end, and again when an extension has moved it."""
    session = await running(broker, reservation_hours=None, reservation_minutes=3)

    async def announced(times: int) -> bool:
        return times == kinds(await broker.events(session["id"])).count("session.expiring")

    await eventually(lambda: announced(1))
    path = f"/api/v1/sessions/{session['id']}/extend"
    _, body = await broker.call("POST", path, {"additional_minutes": 1})
    await eventually(lambda: announced(2))
    await reconciled(broker)
    assert await announced(2)
    told = [e for e in await broker.events(session["id"]) if e["type"] == "session.expiring"]
    ends = [instant(event["data"]["expires_at"]) for event in told]
    assert timedelta(minutes=1) == ends[1] - ends[0]
    assert instant(body["new_expires_at"]) <= ends[1]


async def test_an_idle_machine_ends_its_session_with_the_evidence(broker: Broker) -> None:
    """A busy GPU is use; when it rests for long enough the readings that say so are told."""
    session = await running(broker)
    (disk(broker, session) / "gpu_util").write_text("87\n")
    await watch_idleness(broker, session["id"], timedelta(seconds=1))
    await reconciled(broker, 4)
    assert "running" == (await broker.session(session["id"]))["status"]
    rested_at = utcnow()
    (disk(broker, session) / "gpu_util").write_text("0\n")
    session = await ended(broker, session["id"])

    assert ("stopped", "idle") == (session["status"], session["status_reason"])
    (verdict,) = (e for e in await broker.events(session["id"]) if e["type"] == "session.idle")
    assert verdict["data"]["is_ending"]
    idle_since = datetime.fromisoformat(verdict["data"]["idle_since"])
    assert idle_since > rested_at - timedelta(milliseconds=1)
    newest = verdict["data"]["readings"][-3:]
    assert [("probe", 0, 0)] * 3 == [(r["source"], r["gpu_util"], r["users"]) for r in newest]
    told = kinds(await broker.events(session["id"]))
    assert told.index("session.idling") < told.index("session.idle")
    await assert_sound(broker)


async def test_the_policy_observe_only_tells_of_an_idle_machine(serve: Serve) -> None:
    """The verdict is told once, and the session goes on."""
    async with serve(lifecycle__idle_policy="observe") as broker:
        session = await running(broker)
        await watch_idleness(broker, session["id"], timedelta(milliseconds=500))

        async def verdicts() -> list[Any]:
            events = await broker.events(session["id"])
            return [event for event in events if event["type"] == "session.idle"]

        await eventually(verdicts)
        await reconciled(broker)
        assert [False] == [event["data"]["is_ending"] for event in await verdicts()]
        session = await broker.session(session["id"])
        assert "running" == session["status"]
        assert session["idle_since"]
        await assert_sound(broker, machines=1)


async def test_a_machine_that_cannot_be_asked_is_not_idle(broker: Broker) -> None:
    """Where the broker's own key is refused nobody knows, and unknown counts as use."""
    session = await running(broker)
    (disk(broker, session) / ".ssh" / "authorized_keys").write_text("")
    await watch_idleness(broker, session["id"], timedelta(milliseconds=300))
    await reconciled(broker, 4)

    session = await broker.session(session["id"])
    assert ("running", None) == (session["status"], session["idle_since"])


async def test_an_orphan_that_takes_long_to_destroy_holds_up_no_start(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again while the broker serves."""
    monkeypatch.setattr("broker.app.daemon.STARTING_PATIENCE", timedelta(milliseconds=300))
    async with serve(lifecycle__orphan_grace_period="1h") as broker:
        orphan = await made(broker, a_label(broker))
        await reconciled(broker)
    slow = {"fault": "slow", "operation": "destroy", "delay": "1h"}
    async with serve(
        lifecycle__orphan_grace_period="0s", providers__simulator__faults=[slow]
    ) as broker:

        async def is_gone() -> bool:
            return orphan not in {one.id for one in await market(broker).list_instances()}

        await eventually(is_gone)


async def test_an_orphan_is_destroyed_after_the_grace_and_a_stranger_is_left_alone(
    broker: Broker,
) -> None:
    """Only equality of the whole deployment part makes a machine ours."""
    deployment = broker.parts.tools.rules.deployment
    labels = ("somebody-elses", a_label(broker, f"{deployment}x"), f"{a_label(broker)}-more")
    strangers = {await made(broker, label) for label in labels}
    orphan = await made(broker, a_label(broker))
    assert {"ours": 0, "orphaned": 1, "foreign": 3} == await broker.machines()

    async def is_gone() -> bool:
        return orphan not in await alive(broker)

    await eventually(is_gone)

    async def told() -> Any:
        events = await broker.parts.tools.store.events(limit=1000)
        own = [event for event in events if event.data.get("instance_id") == orphan]
        return own if len(own) > 1 else None

    detected, destroyed = await eventually(told)
    assert ["orphan.detected", "orphan.destroyed"] == [detected.type, destroyed.type]
    grace = broker.parts.settings.lifecycle.orphan_grace_period
    assert destroyed.created_at - detected.created_at >= grace
    assert 1 == await metric(broker, "gpu_orphans_detected_total")
    await reconciled(broker)
    assert strangers == await alive(broker)
    assert {"ours": 0, "orphaned": 0, "foreign": 3} == await broker.machines()


async def test_a_machine_that_is_made_while_its_market_is_listed_is_no_orphan(
    serve: Serve,
) -> None:
    """The records are read after the list, and know it."""
    settings = {"inventory__cache_ttl": "1h", "inventory__backoff_ttl": "2h", **UNHURRIED}
    async with serve(providers__simulator__ssh=False, **settings) as broker:
        await broker.parts.tools.inventory.ready()
        await broker.fault("slow", "list", delay="2s")
        sweeping = asyncio.create_task(broker.call("POST", "/api/v1/sweep?dry_run=false"))

        async def is_listing() -> bool:
            _, body = await broker.call("GET", "/simulator/faults")
            return not body["faults"]

        await eventually(is_listing)
        status, _ = await broker.rent()
        assert (201, False) == (status, sweeping.done())
        _, told = await sweeping
        assert [] == told["actions"]
        assert {"ours": 1, "orphaned": 0, "foreign": 0} == await broker.machines()
        assert 0 == await metric(broker, "gpu_orphans_detected_total")


async def test_an_orphan_that_is_not_destroyed_holds_up_no_other(broker: Broker) -> None:
    """Each is destroyed by itself."""
    labels = {name: str(replace(_label(broker), session_id=f"sess-{name * 12}")) for name in "ab"}
    await broker.fault("error", "destroy", times=FOR_EVER, session_id=f"sess-{'a' * 12}")
    orphans = {name: await made(broker, label) for name, label in labels.items()}

    async def is_alone() -> bool:
        return {orphans["a"]} == await alive(broker)

    await eventually(is_alone)
    await broker.call("DELETE", "/simulator/faults")

    async def are_gone() -> bool:
        return not await alive(broker)

    await eventually(are_gone)


async def test_a_second_machine_of_a_live_session_is_destroyed(broker: Broker) -> None:
    """The session keeps the one that it knows; the others are destroyed until they are gone."""
    session = await running(broker)
    await broker.fault("error", "destroy", times=3)
    own = (await market(broker).get(session["provider_instance_id"])).label
    assert own is not None
    await made(broker, own)
    await made(broker, own.removesuffix("-1") + "-2")
    assert {"ours": 1, "orphaned": 2, "foreign": 0} == await broker.machines()

    async def is_alone() -> bool:
        return {session["provider_instance_id"]} == await alive(broker)

    await eventually(is_alone)
    assert "running" == (await broker.session(session["id"]))["status"]
    await assert_sound(broker, machines=1, unheld=2)


async def test_a_machine_that_is_destroyed_behind_our_back_ends_its_session(
    broker: Broker,
) -> None:
    """A ghost is told as such, and nothing is left to destroy."""
    session = await running(broker)
    await market(broker).destroy(session["provider_instance_id"])
    session = await ended(broker, session["id"])

    assert ("failed", "instance_lost") == (session["status"], session["status_reason"])
    assert "The provider no longer has the machine." == session["error"]
    assert 1 == await metric(broker, "gpu_ghosts_detected_total")
    assert 1 == await metric(broker, "gpu_reconciliation_mismatches_total")


async def test_a_dry_sweep_tells_what_it_would_do_and_does_nothing(serve: Serve) -> None:
    """A sweep that is asked for acts only when it is told to."""
    async with serve(lifecycle__orphan_grace_period="0s", **UNHURRIED) as broker:
        orphan = await made(broker, a_label(broker))
        path = "/api/v1/sweep?dry_run="
        _, first = await broker.call("POST", f"{path}false")
        assert [] == first["actions"], "one sighting is not enough"
        for _ in range(2):
            status, told = await broker.call("POST", f"{path}true")
            assert (200, True) == (status, told["dry_run"])
            assert [("destroy", orphan, False)] == [
                (one["action"], one["instance_id"], one["done"]) for one in told["actions"]
            ]
            assert told["actions"][0]["reason"]
            assert {orphan} == await alive(broker)
        _, done = await broker.call("POST", f"{path}false")
        assert [("destroy", True)] == [(one["action"], one["done"]) for one in done["actions"]]
        assert set() == await alive(broker)


async def test_a_sweep_tells_which_provider_could_not_be_listed(serve: Serve) -> None:
    """Nothing is concluded about its machines."""
    async with serve(**UNHURRIED) as broker:
        session = await running(broker)
        await broker.fault("partial", "list", times=FOR_EVER)
        for _ in range(3):
            _, told = await broker.call("POST", "/api/v1/sweep?dry_run=false")
            assert {"simulator": "The market's list is incomplete."} == told["unlisted"]
            assert [] == told["actions"]
        assert "running" == (await broker.session(session["id"]))["status"]
        await assert_sound(broker, machines=1)
