"""Whole sessions at Vast.ai: from the offer to the proof that nothing is left."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import asyncssh
import pytest

from broker.clock import utcnow
from tests.service.conftest import Broker
from tests.service.scenarios import ended, running
from tests.service.vastai.asking import calls_of, rent
from tests.service.vastai.conftest import ServeVastai
from tests.vast_wire import Misfortune, Operation, VastWire, Word
from tests.waiting import eventually


async def test_a_session_is_rented_proved_used_and_ended(broker: Broker, wire: VastWire) -> None:
    """With the key of the answer one gets in; in the end the marketplace has nothing left."""
    status, body = await rent(broker, env={"GREETING": "hello"})
    assert status == 201, body
    session = await broker.until(body["session"]["id"], "running", "failed")
    assert session["status"] == "running", session["error"]
    async with asyncssh.connect(
        session["ssh_host"],
        session["ssh_port"],
        username=session["ssh_user"],
        client_keys=[asyncssh.import_private_key(body["ssh_private_key"])],
        known_hosts=None,
        config=[],
        agent_path=None,
    ) as machine:
        seen = await machine.run("nvidia-smi --query-gpu=name --format=csv,noheader")
        greeting = await machine.run('echo "$GREETING"')
    assert session["gpu_type"].split()[-1] in str(seen.stdout)
    assert str(greeting.stdout).strip() == "hello"
    (row,) = wire.instances()
    assert row["label"].startswith("gpub-")

    status, _ = await broker.call("DELETE", f"/api/v1/sessions/{session['id']}")

    assert status == 200
    assert (await ended(broker, session["id"]))["status"] == "stopped"
    assert wire.instances() == []


async def test_a_machine_that_the_marketplace_takes_away_is_missed(
    broker: Broker, wire: VastWire
) -> None:
    """Two lists and its own word say so: the session has failed, and it is told why."""
    session = await running(broker, gpu_type=None)
    contract = wire.fleet.find(wire.instances()[0]["id"])
    wire.fleet.destroy(contract)

    lost = await ended(broker, session["id"])

    assert (lost["status"], lost["status_reason"]) == ("failed", "instance_lost")


async def test_a_machine_that_is_not_listed_yet_is_not_called_gone(
    serve_vastai: ServeVastai, wire: VastWire
) -> None:
    """It was rented a moment ago: its session ends when it was seen, and is seen no more."""
    wire.misfortunes.add(Misfortune(Word.APPEARS_LATE, delay=timedelta(seconds=3)))
    settings = {"lifecycle__orphan_grace_period": "1h", "providers__vastai__pace": 0.2}
    async with serve_vastai(**settings) as broker:
        _, body = await rent(broker)
        await broker.call("DELETE", f"/api/v1/sessions/{body['session']['id']}")

        await ended(broker, body["session"]["id"])

        (contract,) = wire.fleet.contracts.values()
        assert contract.is_gone(utcnow())


async def test_a_machine_that_nobody_ever_saw_is_destroyed_at_sight(
    serve_vastai: ServeVastai, wire: VastWire
) -> None:
    """It stayed away for so long that its session is over: no grace lets it live when it comes."""
    wire.misfortunes.add(Misfortune(Word.APPEARS_LATE, delay=timedelta(seconds=4)))
    async with serve_vastai(lifecycle__orphan_grace_period="1h") as broker:
        _, body = await rent(broker)
        await broker.call("DELETE", f"/api/v1/sessions/{body['session']['id']}")
        await ended(broker, body["session"]["id"])
        (contract,) = wire.fleet.contracts.values()

        async def is_gone() -> bool:
            return contract.is_gone(utcnow())

        await eventually(is_gone)


async def test_an_account_without_credit_rents_nothing(
    serve_vastai: ServeVastai, wire: VastWire
) -> None:
    """It is refused before the marketplace is asked; `/providers` shows what is left."""
    wire.credit = Decimal("0.05")
    async with serve_vastai() as broker:

        async def balance() -> Any:
            _, body = await broker.call("GET", "/api/v1/providers")
            return body["providers"][0]["balance"]

        assert await eventually(balance) == 0.05
        status, body = await rent(broker, reservation_hours=12)
    assert (status, body["code"]) == (402, "insufficient_funds"), body
    assert calls_of(wire, Operation.CREATE) == []


@pytest.mark.parametrize("word", [Word.OFFLINE, Word.OUTBID])
async def test_a_machine_that_stops_for_a_moment_is_kept(
    serve_vastai: ServeVastai, wire: VastWire, word: str
) -> None:
    """It was noted, and it came back."""
    second = timedelta(seconds=1)
    wire.misfortunes.add(Misfortune(word, delay=3 * second, until=5 * second))
    async with serve_vastai(lifecycle__lost_after="30s") as broker:
        session = await running(broker, gpu_type=None)
        before = len(await broker.events(session["id"]))

        async def is_back() -> bool:
            return len(await broker.events(session["id"])) >= before + 2

        await eventually(is_back)
        assert (await broker.session(session["id"]))["status"] == "running"


@pytest.mark.parametrize("word", [Word.OFFLINE, Word.OUTBID])
async def test_a_machine_that_stays_stopped_is_destroyed(
    broker: Broker, wire: VastWire, word: str
) -> None:
    """Its disk would be billed for as long as it is there."""
    wire.misfortunes.add(Misfortune(word, delay=timedelta(seconds=3)))
    session = await running(broker, gpu_type=None)

    lost = await ended(broker, session["id"])

    assert (lost["status"], lost["status_reason"]) == ("failed", "instance_lost")
    assert wire.instances() == []


async def test_what_is_not_ours_in_the_account_is_left_alone(
    broker: Broker, wire: VastWire
) -> None:
    """Without a label, with another's, with one of another deployment."""
    labels = [None, "my own box", "gpub-another-aaaaaaaaaaaa-29558940-1"]
    ids = [wire.add_instance(label=label) for label in labels]
    session = await running(broker, gpu_type=None)
    await broker.call("DELETE", f"/api/v1/sessions/{session['id']}")
    await ended(broker, session["id"])
    before = len(calls_of(wire, Operation.LIST))

    async def is_swept() -> bool:
        return len(calls_of(wire, Operation.LIST)) > before + 6

    await eventually(is_swept)
    assert [wire.instance(one) is not None for one in ids] == [True, True, True]
    assert (await broker.machines())["foreign"] == 3


async def test_an_answer_that_names_somebody_elses_machine_is_not_believed(
    broker: Broker, wire: VastWire
) -> None:
    """It was there before, by another name: nobody logs in to it, and nobody destroys it."""
    foreign = wire.add_instance(label="my own box")
    before = len(calls_of(wire, Operation.LIST))

    async def is_listed() -> bool:
        return len(calls_of(wire, Operation.LIST)) > before + 1

    await eventually(is_listed)
    text = json.dumps({"success": True, "new_contract": foreign})
    wire.misfortunes.add(Misfortune(Word.ANSWER, Operation.CREATE, status=200, text=text))

    _, body = await rent(broker)

    failed = await ended(broker, body["session"]["id"])
    assert (failed["status"], failed["status_reason"]) == ("failed", "outcome_unknown")
    assert [row["id"] for row in wire.instances()] == [foreign]
    assert calls_of(wire, Operation.ATTACH) == []


async def test_a_machine_outlives_a_restart_of_the_broker(
    serve_vastai: ServeVastai, wire: VastWire
) -> None:
    """And one that came to be without its knowledge is found by its label."""
    async with serve_vastai() as broker:
        session = await running(broker, gpu_type=None)
        (row,) = wire.instances()
    orphan = wire.add_instance(label=row["label"].replace(session["id"][5:], "a" * 12))
    async with serve_vastai() as broker:
        assert (await broker.session(session["id"]))["status"] == "running"

        async def is_gone() -> bool:
            return wire.instance(orphan) is None

        await eventually(is_gone)
        assert wire.instance(row["id"]) is not None


async def test_an_entrypoint_is_proved_by_its_published_port(
    broker: Broker, wire: VastWire
) -> None:
    """Such a machine has no SSH at all."""
    _, offers = await broker.call("GET", "/api/v1/inventory")
    assert offers["total"] > 0
    session = await running(
        broker,
        gpu_type=None,
        launch_mode="entrypoint",
        docker_image="vllm/vllm-openai:latest",
        exposed_ports=[8000],
    )
    assert session["api_endpoint"].startswith("http://127.0.0.1:")
    (row,) = wire.instances()
    assert row["image_runtype"] == "args"


async def test_a_template_is_rented_with_its_disk_and_with_ssh(
    broker: Broker, wire: VastWire
) -> None:
    """The disk is what it recommends at least, and one logs in whatever its own runtype is."""
    template = wire.templates.add(
        name="Large", image="me/large", runtype="jupyter", recommended_disk_space=90
    )

    session = await running(broker, gpu_type=None, template_hash_id=template["hash_id"])

    (row,) = wire.instances()
    assert row["template_hash_id"] == template["hash_id"]
    assert row["disk_space"] >= 90
    assert session["ssh_host"]
