"""Misfortunes of the lists: no knowledge is never "nothing there"."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.service.conftest import Broker, Serve, eventually
from tests.service.odd_market import odd_market, serve_oddly
from tests.service.scenarios import (
    FOR_EVER,
    assert_sound,
    ended,
    metric,
    reconciled,
    running,
)

__all__ = ["serve_oddly"]


async def account(broker: Broker) -> Any:
    """What is told of the simulated account."""
    _, body = await broker.call("GET", "/api/v1/providers")
    return body["providers"][0]


@pytest.mark.parametrize("fault", ["error", "partial"])
async def test_a_list_that_fails_ends_no_session(broker: Broker, fault: str) -> None:
    """However often it fails; the last offers stay, age, and say so."""
    session = await running(broker)
    await broker.fault(fault, "list", times=FOR_EVER)
    await reconciled(broker, 5)

    async def warned() -> Any:
        _, body = await broker.call("GET", "/api/v1/inventory?limit=1")
        return body if body["warnings"] else None

    body = await eventually(warned)
    reading = body["providers"]["simulator"]
    assert (["stale"], False) == ([one["code"] for one in body["warnings"]], reading["ok"])
    assert reading["error"]
    assert reading["age_seconds"] > 0
    assert 300 < body["total"] <= reading["offers"]
    assert "running" == (await broker.session(session["id"]))["status"]
    down = await account(broker)
    assert ("down", 2) == (down["state"], len(down["reasons"]))
    assert {"ours": 1, "orphaned": 0, "foreign": 0} == down["machines"]
    errors = 'gpu_provider_api_errors_total{operation="list_instances",provider="simulator"}'
    assert 5 <= await metric(broker, errors)

    await broker.call("DELETE", "/simulator/faults")
    await eventually(lambda: _is_ready(broker))
    assert "running" == (await broker.session(session["id"]))["status"]
    status, _ = await broker.call("DELETE", f"/api/v1/sessions/{session['id']}")
    assert 200 == status
    await assert_sound(broker)


async def test_offers_that_are_too_old_are_left_out(serve: Serve) -> None:
    """Nothing is rented from a list that is too old, and the cause is told."""
    async with serve(inventory__backoff_ttl="1s") as broker:
        await broker.fault("error", "list", times=FOR_EVER)

        async def is_left_out() -> bool:
            status, _ = await broker.call("GET", "/api/v1/inventory")
            return status == 503

        await eventually(is_left_out)
        for status, body in (await broker.rent(), await broker.call("GET", "/api/v1/inventory")):
            assert (503, "provider_unavailable") == (status, body["code"])
            assert body["retry_suggested"]
            assert "simulator" in body["error"]
        assert 0 == (await broker.call("GET", "/api/v1/sessions"))[1]["total"]
        await assert_sound(broker)


async def test_a_lost_reply_is_found_as_soon_as_the_list_can_be_read_again(
    broker: Broker,
) -> None:
    """While nothing can be looked up, the outcome stays open."""
    await broker.fault("reply_lost", "create")
    await broker.fault("error", "list", times=12)
    status, body = await broker.rent()
    assert (201, "provisioning") == (status, body["session"]["status"])
    session = await broker.until(body["session"]["id"], "running", "failed")

    assert ("running", 1) == (session["status"], len(session["attempts"]))
    await assert_sound(broker, machines=1)
    await broker.call("DELETE", f"/api/v1/sessions/{session['id']}")
    await assert_sound(broker)


async def test_a_slow_list_holds_up_no_end(broker: Broker) -> None:
    """An end is proved while a list is still awaited."""
    session = await running(broker)
    await broker.fault("slow", "list", times=FOR_EVER, delay="60s")
    status, _ = await broker.call("DELETE", f"/api/v1/sessions/{session['id']}")

    assert 200 == status
    stopped = await broker.session(session["id"])
    assert "stopped" == stopped["status"]


async def test_a_machine_that_the_lists_miss_but_the_provider_knows_is_no_ghost(
    serve_oddly: Serve,
) -> None:
    """Before a session is ended as lost, the provider is asked for its machine alone, twice."""
    async with serve_oddly() as broker:
        market = odd_market(broker)
        session = await running(broker)
        market.denials, market.is_listing_nothing = 1, True

        async def was_asked() -> bool:
            return market.asked >= 3

        await eventually(was_asked)
        await broker.fault("error", "get", times=3)
        await reconciled(broker)
        assert "running" == (await broker.session(session["id"]))["status"]
        assert 0 == await metric(broker, "gpu_ghosts_detected_total")

        await market.destroy(session["provider_instance_id"])
        session = await ended(broker, session["id"])
        assert ("failed", "instance_lost") == (session["status"], session["status_reason"])
        assert 1 == await metric(broker, "gpu_ghosts_detected_total")
        await assert_sound(broker)


async def test_a_machine_that_boots_and_is_missing_from_the_lists_is_proved_all_the_same(
    serve_oddly: Serve,
) -> None:
    """The provider, asked for it alone, tells what the lists do not.

    One denial is none, and a failure is none either.
    """
    async with serve_oddly() as broker:
        market = odd_market(broker)
        market.denials, market.failures, market.is_listing_nothing = 1, 2, True
        session = await running(broker)

        assert 1 == len(session["attempts"])
        assert market.asked >= 4


async def test_a_machine_that_boots_and_is_denied_twice_is_lost(serve_oddly: Serve) -> None:
    """Its lists miss it, and it says so itself."""
    async with serve_oddly() as broker:
        market = odd_market(broker)
        market.denials, market.is_listing_nothing = 2, True
        _, body = await broker.rent()
        session = await ended(broker, body["session"]["id"])

        assert ("failed", "instance_lost") == (session["status"], session["status_reason"])
        market.is_listing_nothing = False
        await assert_sound(broker)


async def _is_ready(broker: Broker) -> bool:
    return "ready" == (await account(broker))["state"]


async def test_a_list_that_ends_in_something_unforeseen_keeps_no_broker_from_its_work(
    serve_oddly: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is concluded from it, and the log has the whole of it."""
    async with serve_oddly() as broker:
        session = await running(broker)
        odd_market(broker).accidents = 3

        async def is_over() -> bool:
            return odd_market(broker).accidents == 0

        await eventually(is_over)

        assert "running" == (await broker.session(session["id"]))["status"]
        errors = [one for one in caplog.records if one.levelno >= logging.ERROR]
        assert ["simulator cannot be listed."] * 3 == [one.getMessage() for one in errors]
        assert all(one.exc_info for one in errors)
