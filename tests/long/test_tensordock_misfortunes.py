"""Whole sessions at TensorDock through the misfortunes that the service is known for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.service.conftest import Broker
from tests.service.scenarios import ended
from tests.service.tensordock.asking import ANYTHING, end, running
from tests.service.tensordock.conftest import broker, serve_tensordock, wire
from tests.tensordock_wire import Misfortune, Operation, TensordockWire, Word

__all__ = ["broker", "serve_tensordock", "wire"]

RETRIED = {**ANYTHING, "auto_retry": True, "retry_scope": "any", "max_price": 30}


@pytest.mark.parametrize(
    "misfortune",
    [
        Misfortune(Word.ADDRESS_LATE, delay=timedelta(seconds=1)),
        Misfortune(Word.SSH_LATE, delay=timedelta(seconds=1)),
        Misfortune(Word.KEY_LATE, delay=timedelta(seconds=1)),
        Misfortune(Word.KEY_IGNORED),
        Misfortune(Word.CLOUD_INIT_IGNORED),
        Misfortune(Word.PORTS_REMAPPED),
        Misfortune(Word.NO_DRIVER, delay=timedelta(seconds=1)),
        Misfortune(Word.IMAGE_REFUSED),
        Misfortune(Word.RATE_LIMITED, Operation.CREATE, times=2, retry_after=0.2),
        Misfortune(Word.REPLY_RESET, Operation.CREATE),
        Misfortune(Word.REPLY_BAD_GATEWAY, Operation.CREATE),
        Misfortune(Word.APPEARS_LATE, delay=timedelta(milliseconds=500)),
        Misfortune(Word.ERROR, Operation.LIST, times=3),
        Misfortune(Word.HTML, Operation.LIST, times=3),
        Misfortune(Word.PARTIAL_LIST, times=3),
        Misfortune(Word.EMPTY_LIST, times=3),
    ],
    ids=lambda misfortune: f"{misfortune.word}-{misfortune.operation}",
)
async def test_a_misfortune_that_passes_costs_no_session(
    broker: Broker, wire: TensordockWire, misfortune: Misfortune
) -> None:
    """One machine is made, and it works in the end."""
    wire.misfortunes.add(misfortune)
    managed = misfortune.word is not Word.CLOUD_INIT_IGNORED
    session, _ = await running(broker, managed_access=managed)

    assert len(wire.instances()) == 1
    assert len(session["attempts"]) == 1
    assert (await end(broker, session))["status"] == "stopped"
    assert wire.instances() == []


@pytest.mark.parametrize(
    ("misfortune", "reason"),
    [
        (Misfortune(Word.NO_NODES), "offer_gone"),
        (Misfortune(Word.NO_PUBLIC_IP), "offer_gone"),
        (Misfortune(Word.HOST_UNAVAILABLE), "offer_gone"),
        (Misfortune(Word.FAILED), "boot_failed"),
        (Misfortune(Word.STOPPED), "boot_failed"),
        (Misfortune(Word.RECLAIMED), "boot_failed"),
        (Misfortune(Word.STUCK_CREATING), "boot_timeout"),
        (Misfortune(Word.WRONG_GPU), "wrong_gpu"),
        (Misfortune(Word.PRICE_RAISED), "price_changed"),
    ],
    ids=lambda value: value.word if isinstance(value, Misfortune) else value,
)
async def test_a_machine_that_never_works_is_destroyed_and_another_one_is_tried(
    serve_tensordock: Any, wire: TensordockWire, misfortune: Misfortune, reason: str
) -> None:
    """Its reason is told."""
    async with serve_tensordock(ssh__verify_timeout="8s") as broker:
        wire.misfortunes.add(misfortune)
        status, body = await broker.rent(**RETRIED)
        assert status == 201, body
        session = await broker.until(body["session"]["id"], "running", "failed")

        assert session["attempts"][0]["reason"] == reason
        assert session["status"] == "running", session["error"]
        assert len(session["attempts"]) == 2
        await end(broker, session)


@pytest.mark.parametrize(
    "misfortune",
    [
        Misfortune(Word.ERROR, Operation.DESTROY, times=2),
        Misfortune(Word.RATE_LIMITED, Operation.DESTROY, retry_after=0.2),
        Misfortune(Word.REPLY_RESET, Operation.DESTROY),
        Misfortune(Word.IGNORED),
        Misfortune(Word.LINGERS, delay=timedelta(seconds=1)),
        Misfortune(Word.BAD_TOKEN, Operation.DESTROY, times=2),
    ],
    ids=lambda misfortune: f"{misfortune.word}-{misfortune.operation}",
)
async def test_a_session_is_over_when_the_marketplace_has_nothing_left(
    broker: Broker, wire: TensordockWire, misfortune: Misfortune
) -> None:
    """Not before, whatever its answers were."""
    session, _ = await running(broker)
    wire.misfortunes.add(misfortune)

    await broker.call("POST", f"/api/v1/sessions/{session['id']}/done")

    assert (await ended(broker, session["id"]))["status"] == "stopped"
    assert wire.instances() == []
