"""Holding sessions over the API: what does not end them, what does, and how it ends."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from broker.clock import utcnow
from broker.decide import hold
from tests.service.conftest import UNHURRIED, Broker, Serve, eventually
from tests.service.scenarios import (
    assert_sound,
    ended,
    instant,
    kinds,
    market,
    reconciled,
    running,
    shorten,
    warm_up,
)
from tests.service.test_sweep import watch_idleness


async def hold_it(broker: Broker, session_id: str, **fields: Any) -> tuple[int, Any]:
    """Ask for a hold of an hour, unless told otherwise."""
    body = {"reason": "nearly done", **(fields or {"hours": 1})}
    return await broker.call("POST", f"/api/v1/sessions/{session_id}/hold", body)


async def release(broker: Broker, session_id: str) -> Any:
    """Release it."""
    status, body = await broker.call("DELETE", f"/api/v1/sessions/{session_id}/hold")
    assert status == 200, body
    return body


async def hold_for(broker: Broker, session_id: str, span: timedelta) -> None:
    """A hold shorter than a client may ask for."""
    now = utcnow()
    await broker.parts.tools.journal.apply(
        session_id, lambda session, _: hold.hold(session, now + span, "nearly done", now)
    )


async def test_a_held_session_outlives_its_reservation_until_it_is_released(serve: Serve) -> None:
    """Its object tells of the hold; its cost is that of the time it really gets."""
    async with serve() as broker:
        session = await running(broker)
        status, answer = await hold_it(broker, session["id"])
        assert (200, "session held", "nearly done") == (
            status,
            answer["message"],
            answer["hold_reason"],
        )
        due_at = await shorten(broker, session["id"], timedelta(0))
        await reconciled(broker)

        kept = await broker.session(session["id"])
        assert ("running", answer["held_until"], "nearly done") == (
            kept["status"],
            kept["held_until"],
            kept["hold_reason"],
        )
        assert kept["estimated_cost"] >= session["estimated_cost"]

        released = await release(broker, session["id"])
        over = await ended(broker, session["id"])
        assert ("stopping", "stopped", "expired") == (
            released["status"],
            over["status"],
            over["status_reason"],
        )
        assert (over["held_until"], over["hold_reason"]) == (None, None)
        told = kinds(await broker.events(session["id"]))
        assert ["session.held", "session.released", "session.stopping"] == [
            kind
            for kind in told
            if kind in {"session.held", "session.released", "session.stopping"}
        ]
        row = await broker.parts.tools.store.session(session["id"])
        assert row is not None
        assert row.due_at is not None
        assert row.due_at > due_at
        await assert_sound(broker)


async def test_the_end_of_a_hold_is_acted_on_at_its_instant(serve: Serve) -> None:
    """The alarm knows it: nothing waits for the next look at the sessions."""
    async with serve(**UNHURRIED) as broker:
        session = await running(broker)
        await hold_for(broker, session["id"], timedelta(seconds=1))
        due_at = (await broker.session(session["id"]))["held_until"]
        await shorten(broker, session["id"], timedelta(milliseconds=200))

        over = await ended(broker, session["id"])

        assert "expired" == over["status_reason"]
        (stopping,) = (
            event
            for event in await broker.events(session["id"])
            if event["type"] == "session.stopping"
        )
        assert due_at == stopping["data"]["due_at"]
        assert instant(stopping["created_at"]) >= instant(due_at)


async def test_a_restarted_broker_keeps_the_hold_and_its_end(serve: Serve) -> None:
    """The alarm of the next start is set from what is stored."""
    async with serve(**UNHURRIED) as broker:
        session = await running(broker)
        await hold_for(broker, session["id"], timedelta(seconds=3))
        await shorten(broker, session["id"], timedelta(0))
    async with serve(**UNHURRIED) as broker:
        assert "running" == (await broker.session(session["id"]))["status"]
        over = await ended(broker, session["id"])
        assert ("stopped", "expired") == (over["status"], over["status_reason"])


async def test_idleness_ends_a_held_session_only_when_the_hold_is_over(serve: Serve) -> None:
    """The verdict waits for the release, and is due then."""
    async with serve() as broker:
        session = await running(broker)
        await hold_it(broker, session["id"])
        await watch_idleness(broker, session["id"], timedelta(milliseconds=300))

        async def is_long_idle() -> bool:
            idle_since = (await broker.session(session["id"]))["idle_since"]
            return idle_since is not None and utcnow() - instant(idle_since) > timedelta(seconds=2)

        await eventually(is_long_idle)
        assert "running" == (await broker.session(session["id"]))["status"]
        released_at = utcnow()
        await release(broker, session["id"])
        over = await ended(broker, session["id"])

        assert ("stopped", "idle") == (over["status"], over["status_reason"])
        row = await broker.parts.tools.store.session(session["id"])
        assert row is not None
        assert row.due_at is not None
        assert row.due_at >= released_at


async def test_a_machine_that_is_called_lost_does_not_end_a_held_session(serve: Serve) -> None:
    """It is told, and nothing is destroyed; after the hold it ends as lost."""
    async with serve() as broker:
        await warm_up(broker)
        await broker.fault("dies", "boot", delay="2s")
        session = await running(broker)
        await hold_it(broker, session["id"])

        async def is_missing() -> bool:
            return "session.machine_missing" in kinds(await broker.events(session["id"]))

        await eventually(is_missing)
        await reconciled(broker, 4)
        assert "running" == (await broker.session(session["id"]))["status"]

        await release(broker, session["id"])
        over = await ended(broker, session["id"])
        assert ("failed", "instance_lost") == (over["status"], over["status_reason"])


async def test_a_held_session_without_a_machine_ends_all_the_same(broker: Broker) -> None:
    """A hold keeps no ghost."""
    session = await running(broker)
    await hold_it(broker, session["id"])
    await market(broker).destroy(session["provider_instance_id"])

    over = await ended(broker, session["id"])

    assert ("failed", "instance_lost") == (over["status"], over["status_reason"])


@pytest.mark.parametrize("way", ["done", "delete"])
async def test_its_consumer_ends_a_held_session(broker: Broker, way: str) -> None:
    """The hold binds the broker, not the one whose session it is."""
    session = await running(broker)
    await hold_it(broker, session["id"])

    if way == "done":
        await broker.call("POST", f"/api/v1/sessions/{session['id']}/done")
    else:
        await broker.call("DELETE", f"/api/v1/sessions/{session['id']}")

    over = await ended(broker, session["id"])
    assert "stopped" == over["status"]
    assert (409, "conflict") == _outcome(await hold_it(broker, session["id"]))
    path = f"/api/v1/sessions/{session['id']}/hold"
    assert (409, "conflict") == _outcome(await broker.call("DELETE", path))


def _outcome(answer: tuple[int, Any]) -> tuple[int, str]:
    status, body = answer
    return status, body["code"]


async def test_a_hold_that_no_machine_may_live_for_is_refused(market_only: Broker) -> None:
    """The field is named, and the latest instant."""
    _, body = await market_only.rent()
    session_id = body["session"]["id"]
    row = await market_only.parts.tools.store.session(session_id)
    assert row is not None

    status, refusal = await hold_it(market_only, session_id, hours=14)

    assert (400, "validation_error") == (status, refusal["code"])
    (detail,) = refusal["details"]
    assert "hours" == detail["field"]
    assert row.label_deadline.isoformat()[:16] in detail["message"]


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"hours": 1, "minutes": 1}, {"hours", "minutes"}),
        ({"reason": "why"}, {"hours"}),
        ({"hours": 0}, {"hours"}),
        ({"minutes": 5, "reason": ""}, {"reason"}),
        ({"minutes": 5, "reason": "   "}, {"reason"}),
        ({"minutes": 14 * 60}, {"minutes"}),
        ({"minutes": 5, "until": "noon"}, {"until"}),
    ],
)
async def test_a_hold_has_an_end_and_a_reason(
    market_only: Broker, fields: dict[str, Any], wrong: set[str]
) -> None:
    """Every wrong field is named."""
    _, body = await market_only.rent()

    status, refusal = await hold_it(market_only, body["session"]["id"], **fields)

    assert 400 == status
    assert wrong == {detail["field"] for detail in refusal["details"]}


async def test_only_a_session_can_be_held(market_only: Broker) -> None:
    """Neither can what does not exist be released."""
    assert (404, "resource_not_found") == _outcome(await hold_it(market_only, "sess-nothing"))
    path = "/api/v1/sessions/sess-nothing/hold"
    assert (404, "resource_not_found") == _outcome(await market_only.call("DELETE", path))


async def test_an_ended_session_is_not_held(market_only: Broker) -> None:
    """Its object does not say so, and there is nothing to release."""
    _, body = await market_only.rent()
    path = f"/api/v1/sessions/{body['session']['id']}"
    assert 200 == (await hold_it(market_only, body["session"]["id"]))[0]
    assert 400 == (await market_only.call("DELETE", f"{path}/hold", {"hours": 1}))[0]
    await market_only.call("DELETE", path)
    over = await ended(market_only, body["session"]["id"])

    assert (None, None) == (over["held_until"], over["hold_reason"])
    assert (409, "conflict") == _outcome(await market_only.call("DELETE", f"{path}/hold"))
