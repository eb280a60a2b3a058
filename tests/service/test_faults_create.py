"""Misfortunes of the creating call, each met by a whole session over HTTP."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import NoReturn

import pytest

from broker.usecases import opening, workers
from providers.base import Instance, LaunchSpec, OfferList
from providers.errors import InsufficientFunds, ProviderError, RateLimited, Unauthorized
from tests.service.conftest import Broker, eventually
from tests.service.scenarios import (
    assert_sound,
    ended,
    kinds,
    market,
    metric,
    offers,
    only_session,
    running,
)


async def test_an_offer_that_is_gone_is_told_as_stale_inventory(broker: Broker) -> None:
    """The answer says which offer, and to look again; the session has failed, nothing was made."""
    (offer,) = await offers(broker, 1)
    await broker.fault("offer_gone", "create", offer_id=offer["id"])
    status, body = await broker.rent(offer_id=offer["id"])

    assert (503, "stale_inventory", "stale_inventory") == (status, body["code"], body["error_type"])
    assert (offer["id"], "simulator") == (body["offer_id"], body["provider"])
    assert "offer unavailable due to stale inventory" == body["error"]
    assert body["retry_suggested"]
    assert body["message"]
    assert body["request_id"]
    session = await only_session(broker)
    assert body["session_id"] == session["id"]
    assert ("failed", "offer_gone") == (session["status"], session["status_reason"])
    assert [("refused", "offer_gone")] == [
        (attempt["outcome"], attempt["reason"]) for attempt in session["attempts"]
    ]
    _, health = await broker.call("GET", "/api/v1/offer-health")
    assert [(offer["id"], "offer_gone")] == [
        (one["offer_id"], one["last_reason"]) for one in health["offers"]
    ]
    await assert_sound(broker)


async def test_another_offer_stands_in_for_one_that_is_gone(broker: Broker) -> None:
    """With auto_retry the consumer gets a machine, and is told of the attempt that failed."""
    await broker.fault("offer_gone", "create", times=2)
    status, body = await broker.rent(auto_retry=True)

    assert (201, 2) == (status, body["retries_attempted"])
    session = await broker.until(body["session"]["id"], "running", "failed")
    assert "running" == session["status"]
    tried = [(one["n"], one["outcome"], one["reason"]) for one in session["attempts"]]
    assert [(1, "refused", "offer_gone"), (2, "refused", "offer_gone")] == tried[:2]
    assert (3, "running", None) == tried[2]
    assert 3 == len({attempt["offer_id"] for attempt in session["attempts"]})
    assert session["offer_id"] == session["attempts"][2]["offer_id"]
    await assert_sound(broker, machines=1)
    await broker.call("DELETE", f"/api/v1/sessions/{session['id']}")
    await assert_sound(broker)


async def test_a_session_that_finds_no_offer_any_more_fails_with_the_last_reason(
    broker: Broker,
) -> None:
    """The retries are bounded, and the cause is that of the last attempt."""
    await broker.fault("offer_gone", "create", times=9)
    status, body = await broker.rent(auto_retry=True, max_retries=2)

    assert (503, "stale_inventory") == (status, body["code"])
    session = await only_session(broker)
    assert ("failed", "offer_gone", 3) == (
        session["status"],
        session["status_reason"],
        len(session["attempts"]),
    )
    await assert_sound(broker)


async def test_an_offer_that_the_consumer_has_already_does_not_stand_in(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one listing stands for many machines, the next best offer is taken instead."""
    first, second, _ = await offers(broker, 3, gpu_type="RTX%204090")
    reading = await market(broker).list_offers()

    async def listed() -> OfferList:
        many = (replace(offer, exclusive=False) for offer in reading.offers)
        return replace(reading, offers=tuple(many))

    monkeypatch.setattr(market(broker), "list_offers", listed)
    await broker.parts.tools.inventory.refresh("simulator")
    await running(broker, offer_id=first["id"])
    await broker.fault("offer_gone", "create", offer_id=second["id"])
    session = await running(broker, offer_id=second["id"], auto_retry=True)

    assert [second["id"], session["offer_id"]] == [one["offer_id"] for one in session["attempts"]]
    assert session["offer_id"] != first["id"]
    await assert_sound(broker, machines=2)


@pytest.mark.parametrize(
    ("fault", "status", "code", "reason"),
    [
        ("refused", 502, "provider_error", "provider_refused"),
        ("error", 503, "provider_unavailable", "provider_unavailable"),
    ],
)
async def test_a_market_that_does_not_rent_is_told_as_it_is(
    broker: Broker, fault: str, status: int, code: str, reason: str
) -> None:
    """The answer holds the market's reason and the session that records it."""
    await broker.fault(fault, "create")
    answered, body = await broker.rent()

    assert (status, code) == (answered, body["code"])
    assert body["error"]
    session = await broker.session(body["session_id"])
    assert ("failed", reason) == (session["status"], session["status_reason"])
    assert body["error"] == session["error"]
    assert reason == session["attempts"][0]["reason"]
    labels = f'{{provider="simulator",reason="{reason}"}}'
    assert 1 == await metric(broker, f"gpu_sessions_ended_total{labels}")
    await assert_sound(broker)


@pytest.mark.parametrize(
    ("fault", "delay"), [("reply_lost", None), ("late_effect", "800ms")], ids=["now", "late"]
)
async def test_a_machine_whose_reply_was_lost_is_found_by_its_label(
    broker: Broker, fault: str, delay: str | None
) -> None:
    """The consumer is told that it is open; one machine was made, and it serves."""
    await broker.fault(fault, "create", **({"delay": delay} if delay else {}))
    status, body = await broker.rent()

    assert (201, "provisioning") == (status, body["session"]["status"])
    assert ["outcome_unknown"] == [warning["code"] for warning in body["warnings"]]
    assert "PRIVATE KEY" in body["ssh_private_key"]
    session = await broker.until(body["session"]["id"], "running", "failed")
    assert ("running", 1) == (session["status"], len(session["attempts"]))
    assert "attempt.outcome_unknown" in kinds(await broker.events(session["id"]))
    assert 1 == len(await market(broker).list_instances())
    await assert_sound(broker, machines=1)
    await broker.call("DELETE", f"/api/v1/sessions/{session['id']}")
    await assert_sound(broker)


async def test_a_machine_that_arrives_too_late_is_buried(broker: Broker) -> None:
    """Looked for in vain, the attempt is over; what appears then is destroyed at sight.

    A session with auto_retry runs on another machine meanwhile.
    """
    await broker.fault("late_effect", "create", times=2, delay="3500ms")
    (_, patient), (_, plain) = await asyncio.gather(
        broker.rent(auto_retry=True, consumer_id="patient"), broker.rent(consumer_id="plain")
    )
    failed = await ended(broker, plain["session"]["id"])
    assert ("failed", "outcome_unknown") == (failed["status"], failed["status_reason"])
    assert [("unknown", "outcome_unknown")] == [
        (one["outcome"], one["reason"]) for one in failed["attempts"]
    ]
    session = await broker.until(patient["session"]["id"], "running", "failed")
    assert ("running", 2) == (session["status"], len(session["attempts"]))

    async def are_buried() -> bool:
        events = await broker.parts.tools.store.events(limit=1000)
        return 2 == sum(event.type == "orphan.destroyed" for event in events)

    await eventually(are_buried)
    assert "running" == (await broker.session(session["id"]))["status"]
    await assert_sound(broker, machines=1, unheld=2)
    await broker.call("DELETE", f"/api/v1/sessions/{session['id']}")
    await assert_sound(broker, unheld=2)


async def test_a_slow_market_is_waited_for(broker: Broker) -> None:
    """The answer comes with the market's, without a warning."""
    await broker.fault("slow", "create", delay="300ms")
    status, body = await broker.rent()

    assert (201, []) == (status, body["warnings"])
    assert body["session"]["provider_instance_id"]
    session = await broker.until(body["session"]["id"], "running", "failed")
    assert "running" == session["status"]
    await broker.call("DELETE", f"/api/v1/sessions/{session['id']}")
    await assert_sound(broker)


async def test_a_market_that_is_too_slow_is_not_waited_for(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer comes with a warning; the launch goes on by itself."""
    monkeypatch.setattr(opening, "CREATE_PATIENCE", 0.2)
    await broker.fault("slow", "create", delay="1s")
    status, body = await broker.rent()

    assert (201, "provisioning") == (status, body["session"]["status"])
    assert ["outcome_unknown"] == [warning["code"] for warning in body["warnings"]]
    assert None is body["session"]["provider_instance_id"]
    session = await broker.until(body["session"]["id"], "running", "failed")
    assert "running" == session["status"]
    await broker.call("DELETE", f"/api/v1/sessions/{session['id']}")
    await assert_sound(broker)


async def test_a_session_that_is_deleted_while_its_machine_is_being_made_leaves_none(
    broker: Broker,
) -> None:
    """The machine that the call brings is destroyed, and none is rented instead."""
    await broker.fault("slow", "create", delay="600ms")
    renting = asyncio.create_task(broker.rent(auto_retry=True))
    session_id = await eventually(lambda: _recorded(broker))
    status, _ = await broker.call("DELETE", f"/api/v1/sessions/{session_id}")

    session = await broker.session(session_id)
    assert (200, "stopped", "deleted") == (status, session["status"], session["status_reason"])
    assert 1 == len(session["attempts"])
    await renting
    await assert_sound(broker)


async def test_a_session_that_is_deleted_while_its_outcome_is_open_leaves_no_machine(
    broker: Broker,
) -> None:
    """Wanted or not, first it is found out whether a machine was made; then it is destroyed."""
    await broker.fault("late_effect", "create", delay="700ms")
    _, body = await broker.rent()
    status, _ = await broker.call("DELETE", f"/api/v1/sessions/{body['session']['id']}")

    session = await broker.session(body["session"]["id"])
    assert (200, "stopped", "deleted") == (status, session["status"], session["status_reason"])
    assert session["attempts"][0]["instance_id"]
    await assert_sound(broker)


@pytest.mark.parametrize("is_told_at_once", [True, False])
async def test_a_market_that_rents_dearer_than_it_lists_is_left(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, is_told_at_once: bool
) -> None:
    """A machine that costs more than the tolerance above its offer is destroyed at once.

    What it has cost is what the market takes, whenever that is told.
    """
    listed, create = market(broker).list_offers, market(broker).create

    async def cheaper() -> OfferList:
        return _cheapened(await listed())

    async def silent(spec: LaunchSpec) -> Instance:
        return replace(await create(spec), price_per_hour=None)

    monkeypatch.setattr(market(broker), "list_offers", cheaper)
    if not is_told_at_once:
        monkeypatch.setattr(market(broker), "create", silent)
    await broker.parts.tools.inventory.refresh("simulator")
    _, body = await broker.rent()
    session = await ended(broker, body["session"]["id"])

    assert ("failed", "price_changed") == (session["status"], session["status_reason"])
    assert "the offer said" in session["error"]
    assert [("failed", "price_changed")] == [
        (one["outcome"], one["reason"]) for one in session["attempts"]
    ]
    (accrual,) = await broker.parts.tools.store.accruals(session_id=session["id"])
    (bill,) = await market(broker).statement(broker.parts.tools.now())
    assert bill.price_per_hour == accrual.price_per_hour
    await assert_sound(broker)


@pytest.mark.parametrize(
    ("error", "status", "code", "attempts"),
    [
        (InsufficientFunds, 402, "insufficient_funds", 1),
        (Unauthorized, 502, "provider_error", 2),
        (RateLimited, 503, "provider_unavailable", 2),
    ],
)
async def test_what_the_account_may_not_do_is_told_as_it_is(
    broker: Broker,
    monkeypatch: pytest.MonkeyPatch,
    error: type[ProviderError],
    status: int,
    code: str,
    attempts: int,
) -> None:
    """Another offer is not tried where the account cannot pay for any."""

    async def refuse(_: LaunchSpec) -> NoReturn:
        raise error

    monkeypatch.setattr(market(broker), "create", refuse)
    answered, body = await broker.rent(auto_retry=True, max_retries=1)

    assert (status, code) == (answered, body["code"])
    session = await broker.session(body["session_id"])
    assert ("failed", attempts) == (session["status"], len(session["attempts"]))
    await assert_sound(broker)


async def test_an_adapter_that_stumbles_over_an_answer_loses_no_machine(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a creation raises, a machine that it may have made is looked for."""
    monkeypatch.setattr(workers, "_AFTER_AN_ACCIDENT", timedelta(milliseconds=50))
    create = market(broker).create

    async def stumble(spec: LaunchSpec) -> NoReturn:
        await create(spec)
        raise KeyError("id")

    monkeypatch.setattr(market(broker), "create", stumble)
    status, body = await broker.rent()
    assert 201 == status
    session = await broker.until(body["session"]["id"], "running", "failed")
    assert ("running", 1) == (session["status"], len(session["attempts"]))
    await broker.call("DELETE", f"/api/v1/sessions/{session['id']}")
    await assert_sound(broker)


async def _recorded(broker: Broker) -> str | None:
    """The id of the session that is being launched."""
    _, body = await broker.call("GET", "/api/v1/sessions?status=provisioning")
    return body["sessions"][0]["id"] if body["sessions"] else None


def _cheapened(reading: OfferList) -> OfferList:
    """The same list with a tenth off every price."""
    cheap = (replace(o, price_per_hour=o.price_per_hour * Decimal("0.9")) for o in reading.offers)
    return replace(reading, offers=tuple(cheap))
