"""Misfortunes on the way down, each met by a whole session over HTTP."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from broker.decide.absence import APART
from broker.model import Witness
from broker.usecases import sessions
from tests.service.conftest import Broker, Serve, eventually
from tests.service.odd_market import odd_market, serve_oddly
from tests.service.scenarios import (
    FOR_EVER,
    assert_sound,
    ended,
    kinds,
    market,
    metric,
    running,
)

__all__ = ["serve_oddly"]

FAILURES = "gpu_destroy_failures_total"


async def done(broker: Broker, session_id: str) -> None:
    """Ask for the end, and do not wait for it."""
    status, _ = await broker.call("POST", f"/api/v1/sessions/{session_id}/done")
    assert 200 == status


async def failure_told(broker: Broker, session_id: str, words: str) -> Any:
    """The event that tells of a failing destruction in these words, as soon as it is there."""

    async def look() -> Any:
        for event in await broker.events(session_id):
            if event["type"] == "instance.destroy_failed" and words in event["data"]["detail"]:
                return event
        return None

    return await eventually(look)


async def test_a_destruction_whose_reply_was_lost_is_proved_at_once(broker: Broker) -> None:
    """The failure counts and is told, but nobody waits for a machine that is gone."""
    session = await running(broker)
    await broker.fault("reply_lost", "destroy")
    status, _ = await broker.call("DELETE", f"/api/v1/sessions/{session['id']}")

    assert 200 == status
    assert 1 == await metric(broker, FAILURES)
    told = kinds(await broker.events(session["id"]))
    assert ["instance.destroy_failed", "instance.gone", "session.stopped"] == told[-3:]
    await assert_sound(broker)


async def test_a_destruction_that_fails_is_tried_again(broker: Broker) -> None:
    """The session stays stopping, the failure is told, and the end is proved all the same."""
    session = await running(broker)
    await broker.fault("error", "destroy", session_id=session["id"])
    await done(broker, session["id"])
    await failure_told(broker, session["id"], "does not serve this call")

    stopping = await broker.session(session["id"])
    assert ("stopping", "done", None) == (
        stopping["status"],
        stopping["status_reason"],
        stopping["stopped_at"],
    )
    assert {"ours": 1, "orphaned": 0, "foreign": 0} == await broker.machines()
    session = await ended(broker, session["id"])
    assert ("stopped", "done") == (session["status"], session["status_reason"])
    assert 1 == await metric(broker, FAILURES)
    await assert_sound(broker)


async def test_one_denial_of_a_machine_that_cannot_be_destroyed_proves_nothing(
    serve_oddly: Serve,
) -> None:
    """Only after a destruction that may have had its effect is the provider believed at once."""
    async with serve_oddly() as broker:
        session = await running(broker)
        odd_market(broker).limited = 2
        odd_market(broker).denials = 1
        status, _ = await broker.call("DELETE", f"/api/v1/sessions/{session['id']}")

        assert 200 == status
        told = kinds(await broker.events(session["id"]))
        assert ["instance.destroy_accepted", "instance.gone", "session.stopped"] == told[-3:]
        await assert_sound(broker)


async def test_a_machine_that_is_gone_ends_its_session_though_nothing_can_be_destroyed(
    serve_oddly: Serve,
) -> None:
    """What the provider denies twice in a row is gone."""
    async with serve_oddly() as broker:
        session = await running(broker)
        await odd_market(broker).destroy(session["provider_instance_id"])
        odd_market(broker).limited = FOR_EVER
        await done(broker, session["id"])
        session = await ended(broker, session["id"])

        assert "stopped" == session["status"]


async def witnesses(broker: Broker, session: Any) -> tuple[object, object]:
    """Who said that the session's machine is gone."""
    _, attempt = await broker.parts.tools.journal.read(session["id"])
    return attempt.absent_by, attempt.gone_by


async def test_an_end_is_proved_by_two_kinds_of_answers(broker: Broker) -> None:
    """The machine alone, and then the list: nobody waits for a second answer of the same kind."""
    session = await running(broker)
    assert 200 == (await broker.call("DELETE", f"/api/v1/sessions/{session['id']}"))[0]

    assert (Witness.LOOKUP, Witness.LIST) == await witnesses(broker, session)


@pytest.mark.parametrize("misfortune", [{"fault": "error"}, {"fault": "slow", "delay": "25s"}])
async def test_where_no_list_is_to_be_had_a_second_look_does(
    broker: Broker, misfortune: dict[str, str]
) -> None:
    """A list that fails, or takes its time, holds up no end."""
    session = await running(broker)
    await broker.fault(operation="list", times=FOR_EVER, **misfortune)
    assert 200 == (await broker.call("DELETE", f"/api/v1/sessions/{session['id']}"))[0]

    assert (Witness.LOOKUP, Witness.LOOKUP) == await witnesses(broker, session)
    _, attempt = await broker.parts.tools.journal.read(session["id"])
    assert attempt.absent_at is not None
    assert attempt.gone_at is not None
    assert APART <= attempt.gone_at - attempt.absent_at


async def test_where_the_machine_cannot_be_asked_for_alone_two_lists_do(broker: Broker) -> None:
    """However long that lasts."""
    session = await running(broker)
    await broker.fault("error", "get", times=FOR_EVER)
    assert 200 == (await broker.call("DELETE", f"/api/v1/sessions/{session['id']}"))[0]

    assert (Witness.LIST, Witness.LIST) == await witnesses(broker, session)


async def test_a_machine_that_shows_up_again_is_destroyed_again(serve_oddly: Serve) -> None:
    """What was observed before is worth nothing then."""
    async with serve_oddly() as broker:
        session = await running(broker)
        odd_market(broker).denials = 1
        await broker.fault("ignored", "destroy", times=1)
        assert 200 == (await broker.call("DELETE", f"/api/v1/sessions/{session['id']}"))[0]

        assert (Witness.LOOKUP, Witness.LIST) == await witnesses(broker, session)
        await assert_sound(broker)


async def test_a_destruction_that_takes_its_time_is_waited_for(broker: Broker) -> None:
    """Accepted is not gone: the session is stopped when the machine is."""
    session = await running(broker)
    await broker.fault("late_effect", "destroy", delay="2s")
    await done(broker, session["id"])

    async def is_accepted() -> bool:
        return "instance.destroy_accepted" in kinds(await broker.events(session["id"]))

    await eventually(is_accepted)
    assert "stopping" == (await broker.session(session["id"]))["status"]
    assert 1 == len(await market(broker).list_instances())
    assert "stopped" == (await ended(broker, session["id"]))["status"]
    assert () == tuple(await market(broker).list_instances())
    assert 0 == await metric(broker, FAILURES)
    (accrual,) = await broker.parts.tools.store.accruals(session_id=session["id"])
    (bill,) = await market(broker).statement(broker.parts.tools.now())
    assert accrual.ends_at is not None
    assert bill.ends_at is not None
    assert abs(accrual.ends_at - bill.ends_at) < timedelta(seconds=0.5)
    await assert_sound(broker)


async def test_a_destruction_that_is_ignored_is_noticed_and_billed_to_its_end(
    broker: Broker,
) -> None:
    """A market that says yes and does nothing is asked until the machine is gone."""
    session = await running(broker)
    await broker.fault("ignored", "destroy", times=2)
    await done(broker, session["id"])
    await failure_told(broker, session["id"], "accepted, and the machine stays up")
    session = await ended(broker, session["id"])

    assert ("stopped", "done") == (session["status"], session["status_reason"])
    assert 1 == await metric(broker, FAILURES)
    assert 1 == kinds(await broker.events(session["id"])).count("instance.destroy_accepted")
    await assert_sound(broker)


async def test_an_end_that_cannot_be_looked_at_is_not_believed(broker: Broker) -> None:
    """Without the provider's word that the machine is gone the session stays stopping."""
    session = await running(broker)
    await broker.fault("error", "get", times=1)
    await broker.fault("ignored", "destroy", times=1)
    await done(broker, session["id"])
    session = await ended(broker, session["id"])

    assert "stopped" == session["status"]
    proof = next(e for e in await broker.events(session["id"]) if e["type"] == "instance.gone")
    assert "did not have it" in proof["data"]["proof"]
    await assert_sound(broker)


async def test_a_deletion_that_is_not_proved_in_time_goes_on_by_itself(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """202 with the status, and 200 as soon as the end is proved, however often it is asked for."""
    monkeypatch.setattr(sessions, "DELETE_PATIENCE", 0.1)
    session = await running(broker)
    path = f"/api/v1/sessions/{session['id']}"
    await broker.fault("error", "destroy", times=FOR_EVER)
    status, body = await broker.call("DELETE", path)
    assert (202, "stopping") == (status, body["status"])
    assert ("session destroyed", session["id"]) == (body["message"], body["session_id"])
    assert 202 == (await broker.call("DELETE", path))[0]
    assert 200 == (await broker.call("POST", f"{path}/done"))[0]
    assert "deleted" == (await broker.session(session["id"]))["status_reason"]

    await broker.call("DELETE", "/simulator/faults")
    await broker.call("DELETE", path)
    await ended(broker, session["id"])
    assert 200 == (await broker.call("DELETE", path))[0]
    assert 409 == (await broker.call("POST", f"{path}/done"))[0]
    await assert_sound(broker)


async def test_a_failing_destruction_holds_up_no_other(broker: Broker) -> None:
    """One machine that cannot be destroyed does not keep another session's machine alive."""
    first, second = await asyncio.gather(
        running(broker, consumer_id="first"), running(broker, consumer_id="second")
    )
    await broker.fault("error", "destroy", times=FOR_EVER, session_id=first["id"])
    await done(broker, first["id"])
    await failure_told(broker, first["id"], "does not serve this call")
    assert 200 == (await broker.call("DELETE", f"/api/v1/sessions/{second['id']}"))[0]
    assert "stopping" == (await broker.session(first["id"]))["status"]

    await broker.call("DELETE", "/simulator/faults")
    await ended(broker, first["id"])
    await assert_sound(broker)


async def test_a_failed_attempt_holds_back_the_next_until_its_machine_is_destroyed(
    broker: Broker,
) -> None:
    """While the wrong machine cannot be destroyed, no other one is rented."""
    await broker.fault("wrong_gpu", "boot")
    await broker.fault("error", "destroy", times=2)
    status, body = await broker.rent(auto_retry=True)
    assert 201 == status
    await failure_told(broker, body["session"]["id"], "does not serve this call")
    waiting = await broker.session(body["session"]["id"])
    assert ("provisioning", 1) == (waiting["status"], len(waiting["attempts"]))
    assert ("wrong_gpu", None) == (
        waiting["attempts"][0]["reason"],
        waiting["attempts"][0]["ended_at"],
    )

    session = await broker.until(body["session"]["id"], "running", "failed")
    assert ("running", 2) == (session["status"], len(session["attempts"]))
    await broker.call("DELETE", f"/api/v1/sessions/{session['id']}")
    await assert_sound(broker)
