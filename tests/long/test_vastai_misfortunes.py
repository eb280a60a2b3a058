"""Whole sessions at Vast.ai through every misfortune that the service is known for."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.service.conftest import Broker
from tests.service.scenarios import ended, running
from tests.service.vastai.asking import calls_of, direct_offer, rent
from tests.service.vastai.conftest import ServeVastai, broker, machines_run, serve_vastai, wire
from tests.vast_wire import Misfortune, Operation, VastWire, Word
from tests.waiting import eventually

__all__ = ["broker", "machines_run", "serve_vastai", "wire"]


@pytest.mark.parametrize(
    "misfortune",
    [
        Misfortune(Word.KEY_LATE, delay=timedelta(seconds=1)),
        Misfortune(Word.KEY_DROPPED),
        Misfortune(Word.ERROR, Operation.ATTACH, times=3),
        Misfortune(Word.DIRECT_REFUSES),
        Misfortune(Word.PROXY_REFUSES),
        Misfortune(Word.NO_PORTS),
        Misfortune(Word.IP_NEWLINE),
        Misfortune(Word.ERROR, Operation.LIST, times=3),
        Misfortune(Word.HTML, Operation.LIST, times=3),
        Misfortune(Word.DEPRECATED, Operation.LIST, times=3),
        Misfortune(Word.TRUNCATED, Operation.LIST, times=3),
        Misfortune(Word.EMPTY_LIST, times=3),
        Misfortune(Word.PARTIAL_LIST, times=3),
        Misfortune(Word.RATE_LIMITED, Operation.LIST, retry_after=0.2),
        Misfortune(Word.RATE_LIMITED, Operation.CREATE, retry_after=0.2),
        Misfortune(Word.REPLY_RESET, Operation.CREATE),
        Misfortune(Word.REPLY_BAD_GATEWAY, Operation.CREATE),
        Misfortune(Word.APPEARS_LATE, delay=timedelta(milliseconds=700)),
    ],
    ids=lambda misfortune: f"{misfortune.word}-{misfortune.operation}",
)
async def test_a_misfortune_that_passes_costs_no_session(
    broker: Broker, wire: VastWire, misfortune: Misfortune
) -> None:
    """One machine is made, and it works in the end."""
    await broker.parts.tools.inventory.ready()
    wire.misfortunes.add(misfortune)

    session = await running(broker, gpu_type=None, offer_id=direct_offer(wire))

    assert len(wire.instances()) == 1
    assert len(session["attempts"]) == 1
    await broker.call("DELETE", f"/api/v1/sessions/{session['id']}")
    await ended(broker, session["id"])
    assert wire.instances() == []


@pytest.mark.parametrize(
    ("misfortune", "reason"),
    [
        (Misfortune(Word.STUCK_LOADING), "boot_timeout"),
        (Misfortune(Word.ABANDONED), "boot_failed"),
        (Misfortune(Word.CDI_ERROR), "gpu_runtime_broken"),
        (Misfortune(Word.IMAGE_FAULT), "image_unavailable"),
        (Misfortune(Word.EXITED), "boot_failed"),
        (Misfortune(Word.OFFLINE), "boot_failed"),
        (Misfortune(Word.WRONG_GPU), "wrong_gpu"),
        (Misfortune(Word.PRICE_RAISED), "price_changed"),
        (Misfortune(Word.STOPPED_CONTRACT), "boot_failed"),
    ],
    ids=lambda value: value.word if isinstance(value, Misfortune) else value,
)
async def test_a_machine_that_never_works_is_destroyed_and_another_one_is_tried(
    serve_vastai: ServeVastai, wire: VastWire, misfortune: Misfortune, reason: str
) -> None:
    """Its reason is told; an image that cannot be had is not tried elsewhere."""
    async with serve_vastai(ssh__verify_timeout="3s") as broker:
        wire.misfortunes.add(misfortune)
        await rent(broker, auto_retry=True, retry_scope="any", max_price=30)
        (listed,) = (await broker.call("GET", "/api/v1/sessions"))[1]["sessions"]
        session = await broker.until(listed["id"], "running", "failed")

        assert session["attempts"][0]["reason"] == reason
        if reason == "image_unavailable":
            assert session["status"] == "failed"
            assert session["status_reason"] == reason
            assert wire.instances() == []
        else:
            assert session["status"] == "running", session["error"]
            assert len(session["attempts"]) == 2
            assert len(wire.instances()) == 1


@pytest.mark.parametrize(
    "misfortune",
    [
        Misfortune(Word.RATE_LIMITED, Operation.DESTROY, times=2, retry_after=0.2),
        Misfortune(Word.ERROR, Operation.DESTROY, times=2),
        Misfortune(Word.RESET, Operation.DESTROY, times=2),
        Misfortune(Word.REPLY_RESET, Operation.DESTROY, times=1),
        Misfortune(Word.IGNORED, times=2),
        Misfortune(Word.LINGERS, delay=timedelta(seconds=1)),
        Misfortune(Word.ERROR, Operation.SHOW, times=2),
        Misfortune(Word.BAD_KEY, Operation.DESTROY, times=2, status=404),
    ],
    ids=lambda misfortune: f"{misfortune.word}-{misfortune.operation}",
)
async def test_a_session_is_over_when_the_marketplace_has_nothing_left(
    broker: Broker, wire: VastWire, misfortune: Misfortune
) -> None:
    """Not before, whatever its answers were."""
    session = await running(broker, gpu_type=None)
    wire.misfortunes.add(misfortune)

    await broker.call("POST", f"/api/v1/sessions/{session['id']}/done")

    assert (await ended(broker, session["id"]))["status"] == "stopped"
    assert wire.instances() == []


@pytest.mark.parametrize(
    "misfortune",
    [
        Misfortune(Word.EMPTY_LIST, times=20),
        Misfortune(Word.PARTIAL_LIST, times=20),
        Misfortune(Word.DEPRECATED, Operation.LIST, times=20),
        Misfortune(Word.BAD_KEY, Operation.LIST, times=20, status=404),
        Misfortune(Word.HTML, Operation.LIST, times=20),
        Misfortune(Word.HUGE, Operation.LIST, times=3),
    ],
    ids=lambda misfortune: f"{misfortune.word}-{misfortune.operation}",
)
async def test_no_session_dies_of_an_answer(
    broker: Broker, wire: VastWire, misfortune: Misfortune
) -> None:
    """A machine that lives is not given up because a list says nothing of it."""
    session = await running(broker, gpu_type=None)
    wire.misfortunes.add(misfortune)
    before = len(calls_of(wire, Operation.LIST))

    async def is_over() -> bool:
        return len(calls_of(wire, Operation.LIST)) > before + 12

    await eventually(is_over)
    assert (await broker.session(session["id"]))["status"] == "running"
    assert len(wire.instances()) == 1
