"""Receipts over HTTP: how sessions ended, held against the session and against the bill."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from broker.clock import utcnow
from tests.service.conftest import Broker
from tests.service.scenarios import ended, instant, market, metric, running


async def test_an_ended_session_has_a_receipt(broker: Broker) -> None:
    """In the order of its life; what is billed is what the session and the provider say."""
    session = await running(broker)
    path = f"/api/v1/sessions/{session['id']}"
    assert 200 == (await broker.call("DELETE", path))[0]
    status, receipt = await broker.call("GET", f"{path}/receipt")
    session = await broker.session(session["id"])

    assert 200 == status
    assert ("stopped", "deleted", None) == tuple(
        receipt[name] for name in ("status", "reason", "error")
    )
    first, second = receipt["observations"]
    life = [
        receipt[name] for name in ("created_at", "running_at", "due_at", "destroy_asked_at")
    ] + [receipt["destroy_accepted_at"], second["observed_at"]]
    assert life == sorted(life)
    assert ("lookup", "list") == (first["by"], second["by"])
    assert second["observed_at"] == receipt["proved_gone_at"] == session["stopped_at"]
    delay = instant(receipt["proved_gone_at"]) - instant(receipt["due_at"])
    assert abs(delay - timedelta(seconds=receipt["reap_delay_seconds"])) < timedelta(seconds=0.002)
    (machine,) = receipt["machines"]
    assert receipt["billed"] == machine["billed"] == session["accrued_cost"]
    assert receipt["observations"] == machine["observations"]
    assert (True, session["provider_instance_id"]) == (
        machine["machine_made"],
        machine["instance_id"],
    )
    (bill,) = await market(broker).statement(utcnow())
    assert bill.label == machine["label"]
    assert abs(bill.billed - Decimal(str(receipt["billed"]))) < bill.price_per_hour / 3600


async def test_the_machines_of_a_failed_session_were_due_when_they_failed(broker: Broker) -> None:
    """Each tells its own life in order, and each is in the metric."""
    await broker.fault("wrong_gpu", "boot", times=2)
    _, body = await broker.rent(auto_retry=True, max_retries=1)
    session = await ended(broker, body["session"]["id"])
    _, receipt = await broker.call("GET", f"/api/v1/sessions/{session['id']}/receipt")

    assert ("failed", "wrong_gpu") == (receipt["status"], receipt["reason"])
    for machine in (*receipt["machines"], receipt):
        life = [machine[name] for name in ("due_at", "destroy_asked_at", "destroy_accepted_at")]
        life.append(machine["proved_gone_at"])
        assert life == sorted(life)
    assert receipt["machines"][-1]["due_at"] == receipt["due_at"]
    assert 0 < receipt["reap_delay_seconds"]
    assert 2 == await metric(broker, "gpu_reap_delay_seconds_count")


async def test_a_session_that_is_not_over_has_no_receipt_yet(market_only: Broker) -> None:
    """The refusal says when to ask again."""
    _, body = await market_only.rent()
    status, answer = await market_only.call(
        "GET", f"/api/v1/sessions/{body['session']['id']}/receipt"
    )
    assert (409, "conflict") == (status, answer["code"])
    assert "Ask again when its status is stopped or failed." in answer["error"]


async def test_a_session_that_does_not_exist_has_no_receipt(market_only: Broker) -> None:
    """As everywhere."""
    assert 404 == (await market_only.call("GET", "/api/v1/sessions/sess-zzzzzzzzzz/receipt"))[0]


async def test_every_attempt_stands_in_the_receipt(market_only: Broker) -> None:
    """Also the one for which no machine was made."""
    await market_only.fault("offer_gone", "create", times=1)
    _, body = await market_only.rent(auto_retry=True)
    session_id = body["session"]["id"]
    await market_only.call("DELETE", f"/api/v1/sessions/{session_id}")
    session = await ended(market_only, session_id)
    _, receipt = await market_only.call("GET", f"/api/v1/sessions/{session_id}/receipt")

    refused, made = receipt["machines"]
    assert (False, None) == (refused["machine_made"], refused["instance_id"])
    assert ("refused", "offer_gone") == (refused["outcome"], refused["reason"])
    assert ([], None) == (refused["observations"], refused["proved_gone_at"])
    assert (0, 0) == (refused["billed_seconds"], refused["billed"])
    assert made["machine_made"]
    assert session["accrued_cost"] == receipt["billed"] == made["billed"]
