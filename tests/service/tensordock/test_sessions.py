"""Whole sessions at TensorDock: from the price list to the proof that nothing is left."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import asyncssh
import pytest

from broker.model import KeyType
from broker.ssh.keys import generate
from tests.service.conftest import Broker
from tests.service.scenarios import ended
from tests.service.tensordock.asking import ANYTHING, end, running
from tests.service.tensordock.conftest import ServeTensordock
from tests.tensordock_wire import ListShape, Misfortune, NoAddress, Operation, TensordockWire, Word
from tests.waiting import eventually


async def test_a_session_is_rented_proved_used_and_ended(
    broker: Broker, wire: TensordockWire
) -> None:
    """With the key of the answer one gets in; in the end the marketplace has nothing left."""
    session, key = await running(broker, env={"GREETING": "hello"}, on_start_cmd="touch ~/begun")
    async with asyncssh.connect(
        session["ssh_host"],
        session["ssh_port"],
        username=session["ssh_user"],
        client_keys=[asyncssh.import_private_key(key)],
        known_hosts=None,
        config=[],
        agent_path=None,
    ) as machine:
        seen = await machine.run("nvidia-smi --query-gpu=name --format=csv,noheader")
    assert session["ssh_user"] == "user"
    assert session["gpu_type"].split()[-1] in str(seen.stdout)
    (row,) = wire.instances()
    assert row["name"].startswith("gpub-")
    assert session["disk_gb"] == row["resources"]["storage_gb"] == 100

    assert (await end(broker, session))["status"] == "stopped"
    assert wire.instances() == []


@pytest.mark.parametrize("word", [Word.STOPPED, Word.RECLAIMED])
async def test_a_machine_that_its_host_takes_back_is_lost(
    broker: Broker, wire: TensordockWire, word: str
) -> None:
    """It is told why, and what is left of it is destroyed."""
    wire.misfortunes.add(Misfortune(word, delay=timedelta(seconds=4)))
    session, _ = await running(broker)

    lost = await ended(broker, session["id"])

    assert (lost["status"], lost["status_reason"]) == ("failed", "instance_lost")
    assert wire.instances() == []


async def test_a_driver_that_is_still_being_installed_is_waited_for(
    broker: Broker, wire: TensordockWire
) -> None:
    """The events tell what is waited for, once and not at every try."""
    wire.misfortunes.add(Misfortune(Word.NO_DRIVER))
    _, body = await broker.rent(**ANYTHING)
    session_id = body["session"]["id"]
    await eventually(lambda: _is_waiting(broker, session_id))
    (row,) = wire.instances()
    wire.machine(row["id"]).oddities = {
        Word.NO_DRIVER: Misfortune(Word.NO_DRIVER, delay=timedelta(microseconds=1))
    }
    session = await broker.until(session_id, "running", "failed")

    assert session["status"] == "running", session["error"]
    (waiting,) = await _waits(broker, session_id)
    assert waiting["data"]["attempt"] == 1
    assert "nvidia-smi: command not found" in waiting["data"]["detail"]
    await end(broker, session)


async def test_a_driver_that_never_comes_fails_its_attempt(
    serve_tensordock: ServeTensordock, wire: TensordockWire
) -> None:
    """At the deadline; a restart of the broker meanwhile does not tell of the wait again."""
    wire.misfortunes.add(Misfortune(Word.NO_DRIVER))
    async with serve_tensordock(ssh__verify_timeout="8s") as broker:
        await broker.parts.tools.inventory.ready()
        _, body = await broker.rent(**ANYTHING)
        session_id = body["session"]["id"]
        await eventually(lambda: _is_waiting(broker, session_id))
    async with serve_tensordock(ssh__verify_timeout="8s") as broker:
        failed = await ended(broker, session_id)

        assert failed["status"] == "failed"
        assert "nvidia-smi fails" in failed["error"]
        assert len(await _waits(broker, session_id)) == 1


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"env": {"A": "x#y", "B": "z"}}, ["env.A"]),
        ({"env": {"A": "x\ny", "B": "x\ty"}}, ["env.A", "env.B"]),
        ({"env": {"A": "x" * 4096}}, ["env"]),
        ({"on_start_cmd": "x" * 4097, "env": {"A": "#"}}, ["on_start_cmd", "env.A"]),
    ],
)
async def test_what_the_marketplace_does_not_take_is_the_consumers_mistake(
    broker: Broker, wire: TensordockWire, fields: dict[str, Any], wrong: list[str]
) -> None:
    """400 names every field and no value; nothing is rented and nothing recorded."""
    _, listed = await broker.call("GET", "/api/v1/inventory")
    for offer in ({}, {"offer_id": listed["offers"][0]["id"]}):
        status, body = await broker.rent(**{**ANYTHING, **offer, **fields})
        assert (status, body["code"]) == (400, "validation_error"), body
        assert [detail["field"] for detail in body["details"]] == wrong

    assert not any(call.operation is Operation.CREATE for call in wire.calls)
    _, sessions = await broker.call("GET", "/api/v1/sessions")
    assert sessions["sessions"] == []


async def test_a_host_without_any_of_the_images_is_told_as_that(
    broker: Broker, wire: TensordockWire
) -> None:
    """The answer names what was tried; with auto_retry another host may do."""
    wire.misfortunes.add(Misfortune(Word.IMAGE_REFUSED, times=4))
    status, body = await broker.rent(**ANYTHING)
    failed = await broker.session(body["session_id"])

    assert (status, body["code"]) == (502, "provider_error")
    assert (failed["status"], failed["status_reason"]) == ("failed", "image_unavailable")
    assert body["error"] == failed["error"]
    assert "ubuntu2404, ubuntu2404_ml_everything" in failed["error"]
    wire.misfortunes.add(Misfortune(Word.IMAGE_REFUSED, times=4))
    session, _ = await running(broker, auto_retry=True, retry_scope="any", max_price=9)
    assert [one["reason"] for one in session["attempts"]] == ["image_unavailable", None]
    await end(broker, session)


async def test_what_a_refusal_says_ends_where_the_broker_goes_on(
    broker: Broker, wire: TensordockWire
) -> None:
    """Also where the marketplace sets no full stop."""
    wire.misfortunes.add(Misfortune(Word.ERROR, Operation.CREATE, times=9, status=400, text="No"))
    _, listed = await broker.call("GET", "/api/v1/inventory")
    wish = {**ANYTHING, "max_price": listed["offers"][0]["price_per_hour"]}
    _, body = await broker.rent(**wish, auto_retry=True)

    assert body["error"] == "No. No other offer fits."


async def test_a_session_tells_which_image_its_machine_was_made_with(
    broker: Broker, wire: TensordockWire
) -> None:
    """Where the host does not have the usual one, the next is tried; no machine tells its own."""
    wire.misfortunes.add(Misfortune(Word.IMAGE_REFUSED))
    session, _ = await running(broker)

    (row,) = wire.instances()
    assert session["image"] == wire.machine(row["id"]).order.image == "ubuntu2404_ml_everything"
    await end(broker, session)


@pytest.mark.parametrize("shape", [ListShape.NAMED, ListShape.TYPED])
async def test_what_a_list_leaves_out_is_asked_for(
    broker: Broker, wire: TensordockWire, shape: ListShape
) -> None:
    """Two shapes of the list may tell of a machine its name and status alone."""
    wire.shapes.list_shape, wire.shapes.is_list_brief = shape, True
    wire.shapes.no_address = NoAddress.MISSING
    session, _ = await running(broker)

    (row,) = wire.instances()
    assert session["ssh_port"] == row["portForwards"][0]["external_port"]
    assert session["price_per_hour"] == row["rateHourly"]
    await end(broker, session)


async def test_nobody_elses_ssh_server_proves_a_machine(
    serve_tensordock: ServeTensordock, wire: TensordockWire
) -> None:
    """Where no port is forwarded, port 22 of the address that machines share is a stranger's."""
    wire.misfortunes.add(Misfortune(Word.FORWARDS_IGNORED))
    async with serve_tensordock(ssh__verify_timeout="3s") as broker:
        await broker.parts.tools.inventory.ready()
        key = generate(KeyType.ED25519, "somebody").public_line
        _, body = await broker.rent(**ANYTHING, ssh_public_key=key, managed_access=False)
        failed = await ended(broker, body["session"]["id"])

    assert (failed["status"], failed["status_reason"]) == ("failed", "ssh_timeout")
    assert "No port is forwarded to its SSH server" in failed["error"]
    assert (failed["ssh_host"], failed["ssh_port"]) == (None, None)


async def _waits(broker: Broker, session_id: str) -> list[Any]:
    """The events that tell what the session's machine lacks."""
    events = await broker.events(session_id)
    return [event for event in events if event["type"] == "attempt.waiting"]


async def _is_waiting(broker: Broker, session_id: str) -> bool:
    return bool(await _waits(broker, session_id))


async def test_confidence_in_a_place_starts_low_and_learns(
    broker: Broker, wire: TensordockWire
) -> None:
    """A refusal lowers it for all sizes of the GPU there, a machine that works raises it again."""
    _, listed = await broker.call("GET", "/api/v1/inventory")
    first = next(offer for offer in listed["offers"] if offer["gpu_count"] == 1)

    async def believed() -> dict[int, float]:
        """Count -> confidence, of that GPU at that place."""
        _, body = await broker.call("GET", f"/api/v1/inventory?gpu_type={first['gpu_type']}")
        return {
            offer["gpu_count"]: offer["availability_confidence"]
            for offer in body["offers"]
            if offer["location"] == first["location"]
        }

    offer = {"offer_id": first["id"], "allow_unverified": True}
    counts = (await believed()).keys()
    assert len(counts) > 1
    assert await believed() == dict.fromkeys(counts, 0.3)
    wire.misfortunes.add(Misfortune(Word.NO_NODES))
    status, body = await broker.rent(**offer)
    assert (status, body["code"]) == (503, "stale_inventory"), body
    assert await believed() == dict.fromkeys(counts, 0.2) | {1: 0.21}
    session, _ = await running(broker, **offer)
    await end(broker, session)

    async def is_raised() -> bool:
        return await believed() == dict.fromkeys(counts, 0.4) | {1: 0.373}

    await eventually(is_raised)


async def test_nothing_is_rented_below_the_floor_of_the_balance(
    broker: Broker, wire: TensordockWire
) -> None:
    """At one dollar the marketplace stops every machine of the organization."""
    wire.balance = Decimal("5.01")

    async def account() -> Any:
        _, body = await broker.call("GET", "/api/v1/providers")
        return body["providers"][0]

    async def is_known() -> bool:
        return bool((await account())["balance"] < 6)

    await eventually(is_known)
    assert (await account())["state"] == "ready"
    status, body = await broker.rent(**ANYTHING)
    assert (status, body["code"]) == (402, "insufficient_funds"), body
    assert not any(call.operation is Operation.CREATE for call in wire.calls)
    wire.balance = Decimal("4.2")

    async def is_short() -> bool:
        return bool((await account())["state"] == "degraded")

    await eventually(is_short)
    (reason,) = (await account())["reasons"]
    assert reason.startswith("The balance of tensordock, $4.20, is below the floor of $5.00")
    async with broker.client.get(broker.url + "/metrics") as answer:
        exposed = await answer.text()
    assert 'gpu_provider_balance_floor_dollars{provider="tensordock"} 5.0' in exposed
    wire.balance = Decimal(20)

    async def is_well() -> bool:
        return bool((await account())["state"] == "ready")

    await eventually(is_well)

    async def is_written() -> bool:
        events = await broker.parts.tools.store.events()
        return [event.type for event in events] == ["balance.below_floor", "balance.recovered"]

    await eventually(is_written)
