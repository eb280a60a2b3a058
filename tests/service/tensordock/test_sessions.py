"""Whole sessions at TensorDock: from the price list to the proof that nothing is left."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import asyncssh
import pytest

from tests.service.conftest import Broker
from tests.service.scenarios import ended
from tests.service.tensordock.asking import ANYTHING, end, running
from tests.tensordock_wire import Misfortune, Operation, TensordockWire, Word
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

    assert (await end(broker, session))["status"] == "stopped"
    assert wire.instances() == []


@pytest.mark.parametrize("word", [Word.STOPPED, Word.RECLAIMED])
async def test_a_machine_that_its_host_takes_back_is_lost(
    broker: Broker, wire: TensordockWire, word: Word
) -> None:
    """It is told why, and what is left of it is destroyed."""
    wire.misfortunes.add(Misfortune(word, delay=timedelta(seconds=4)))
    session, _ = await running(broker)

    lost = await ended(broker, session["id"])

    assert (lost["status"], lost["status_reason"]) == ("failed", "instance_lost")
    assert wire.instances() == []


async def test_nothing_is_rented_below_the_floor_of_the_balance(
    broker: Broker, wire: TensordockWire
) -> None:
    """At one dollar the marketplace stops every machine of the organization."""
    wire.balance = Decimal("5.01")

    async def is_known() -> bool:
        _, body = await broker.call("GET", "/api/v1/providers")
        balance: float = body["providers"][0]["balance"]
        return balance < 6

    await eventually(is_known)
    status, body = await broker.rent(**ANYTHING)
    assert (status, body["code"]) == (402, "insufficient_funds"), body
    assert not any(call.operation is Operation.CREATE for call in wire.calls)
