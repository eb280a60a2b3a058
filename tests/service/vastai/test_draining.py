"""Leaving Vast.ai while machines run there."""

from __future__ import annotations

from typing import Any

import pytest

from tests.service.conftest import Broker, Serve
from tests.service.scenarios import ended, running
from tests.service.vastai.asking import FOR_EVER, calls_of
from tests.service.vastai.conftest import ServeVastai
from tests.vast_wire import Misfortune, Operation, VastWire, Word
from tests.waiting import eventually


async def the_account(broker: Broker) -> Any:
    """The one account that the broker knows."""
    _, body = await broker.call("GET", "/api/v1/providers")
    (one,) = body["providers"]
    return one


async def test_an_account_that_is_switched_off_drains(
    serve_vastai: ServeVastai, wire: VastWire
) -> None:
    """Its market is not searched any more; its machine is destroyed at the end of its session."""
    async with serve_vastai() as broker:
        session = await running(broker, gpu_type=None)
    searches = len(calls_of(wire, Operation.SEARCH))
    async with serve_vastai(providers__vastai__enabled=False) as broker:
        account = await the_account(broker)
        assert ("degraded", True, 1) == (
            account["state"],
            account["draining"],
            account["machines"]["ours"],
        )
        await broker.call("DELETE", f"/api/v1/sessions/{session['id']}")

        assert "stopped" == (await ended(broker, session["id"]))["status"]
    assert [] == wire.instances()
    assert searches == len(calls_of(wire, Operation.SEARCH))


async def test_an_account_whose_key_is_gone_keeps_its_machine_until_it_is_back(
    serve: Serve, serve_vastai: ServeVastai, wire: VastWire
) -> None:
    """Nothing is concluded in between: the end that was asked for comes with the key."""
    async with serve_vastai() as broker:
        session = await running(broker, gpu_type=None)
    async with serve(providers__simulator__enabled=False) as broker:
        account = await the_account(broker)
        assert "needs_setup" == account["state"]
        assert "set VASTAI_API_KEY" in account["reasons"][-1]
        await broker.call("POST", f"/api/v1/sessions/{session['id']}/done")

        async def failing() -> Any:
            return (await the_account(broker))["failing_destructions"]

        (one,) = await eventually(failing)
        assert "set VASTAI_API_KEY" in one["last_answer"]
        assert "stopping" == (await broker.session(session["id"]))["status"]
    assert 1 == len(wire.instances())
    async with serve_vastai() as broker:
        assert "stopped" == (await ended(broker, session["id"]))["status"]
    assert [] == wire.instances()


async def test_an_account_that_refuses_the_key_of_its_sessions_is_told_at_once(
    serve_vastai: ServeVastai, wire: VastWire
) -> None:
    """Health says so before any end is due: nobody could end the machine."""
    async with serve_vastai() as broker:
        session = await running(broker, gpu_type=None)
    async with serve_vastai(providers__vastai__api_key="f" * 64) as broker:

        async def troubles() -> Any:
            return (await broker.call("GET", "/health"))[1].get("troubles")

        (told,) = await eventually(troubles)
        assert told.startswith("vastai refuses our credentials, and 1 session cannot be ended")
    async with serve_vastai() as broker:
        await broker.call("DELETE", f"/api/v1/sessions/{session['id']}")
        assert "stopped" == (await ended(broker, session["id"]))["status"]
    assert [] == wire.instances()


@pytest.mark.parametrize("operation", [Operation.USER, Operation.TEMPLATES])
async def test_a_refusal_that_keeps_nothing_from_ending_is_no_alarm(
    serve_vastai: ServeVastai, wire: VastWire, operation: Operation
) -> None:
    """A key may lack a permission that no end needs: the account says so, health does not."""
    async with serve_vastai() as broker:
        session = await running(broker, gpu_type=None)
        wire.misfortunes.add(Misfortune(Word.BAD_KEY, operation, times=FOR_EVER))

        async def needs_setup() -> bool:
            await broker.call("GET", "/api/v1/templates")
            return "needs_setup" == (await the_account(broker))["state"]

        await eventually(needs_setup)
        _, health = await broker.call("GET", "/health")
        assert "ok" == health["status"]
        await broker.call("DELETE", f"/api/v1/sessions/{session['id']}")
        assert "stopped" == (await ended(broker, session["id"]))["status"]
    assert [] == wire.instances()
