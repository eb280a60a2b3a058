"""Whole sessions at Vast.ai, over the wire and on real machines: keys, failures, ghosts, ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from broker.clock import utcnow
from providers.base import WATCHDOG_FILE
from tests.service.conftest import Broker, Serve
from tests.service.scenarios import FOR_EVER, ended, instant, kinds, only_session, run
from tests.vast_wire import (
    API_KEY,
    BootTimeline,
    Misfortune,
    Operation,
    VastWire,
    Word,
    open_vast_wire,
)
from tests.waiting import eventually

OF_VAST = {"provider": "vastai", "gpu_type": None}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider is quick, and told of keys again after moments."""
    monkeypatch.setattr("broker.decide.keys.EFFECT", timedelta(milliseconds=500))
    monkeypatch.setattr("broker.decide.keys._FIRST_PAUSE", timedelta(milliseconds=300))


@pytest.fixture
async def wire(tmp_path: Path) -> AsyncIterator[VastWire]:
    """An account whose machines run, and accept keys a moment after they are attached."""
    boot = BootTimeline(keys=timedelta(milliseconds=300))
    async with open_vast_wire(tmp_path / "vast", now=utcnow, boot=boot) as one:
        yield one


def account(wire: VastWire) -> dict[str, Any]:
    """The settings of a broker with that account alone."""
    return {
        "providers__simulator__enabled": False,
        "providers__vastai__api_key": API_KEY,
        "providers__vastai__api_url": wire.url,
        "providers__vastai__pace": 0,
    }


@pytest.fixture
async def broker(serve: Serve, wire: VastWire) -> AsyncIterator[Broker]:
    """A broker with that account, whose market has been read."""
    async with serve(**account(wire)) as one:
        await market_read(one)
        yield one


async def market_read(broker: Broker) -> None:
    """Wait until there are offers."""

    async def has_offers() -> bool:
        _, body = await broker.call("GET", "/api/v1/inventory?limit=1")
        return bool(body.get("total"))

    await eventually(has_offers)


async def running(broker: Broker, **fields: Any) -> tuple[Any, str]:
    """A session that runs, and its private key."""
    status, body = await broker.rent(**OF_VAST, **fields)
    assert status == 201, body
    session = await broker.until(body["session"]["id"], "running", "failed")
    assert session["status"] == "running", session["error"]
    return session, body["ssh_private_key"]


def calls(wire: VastWire, operation: Operation) -> int:
    """How often something was asked."""
    return sum(call.operation is operation for call in wire.calls)


async def test_a_session_runs_with_both_keys_and_leaves_nothing(
    broker: Broker, wire: VastWire
) -> None:
    """They are attached by the API, and accepted by a real machine."""
    session, key = await running(broker)

    assert "here" == await run(session, key, "echo here")
    assert 2 <= calls(wire, Operation.ATTACH)
    status, _ = await broker.call("DELETE", f"/api/v1/sessions/{session['id']}")
    assert 200 == status
    assert [] == wire.instances()


async def test_a_key_that_the_service_loses_is_attached_again(
    broker: Broker, wire: VastWire
) -> None:
    """The login says that it is missing."""
    wire.misfortunes.add(Misfortune(Word.KEY_DROPPED))
    session, key = await running(broker)

    assert 4 <= calls(wire, Operation.ATTACH)
    assert 1 == len(session["attempts"])
    assert "here" == await run(session, key, "echo here")


async def test_an_attachment_that_fails_is_repeated(broker: Broker, wire: VastWire) -> None:
    """An error of the service is not the end of the attempt."""
    wire.misfortunes.add(Misfortune(Word.ERROR, Operation.ATTACH, times=3))
    session, _ = await running(broker)

    assert 1 == len(session["attempts"])


async def test_a_served_image_without_ssh_runs_though_no_key_can_be_attached(
    broker: Broker, wire: VastWire
) -> None:
    """Its port is what was promised."""
    wire.misfortunes.add(Misfortune(Word.ERROR, Operation.ATTACH, times=FOR_EVER))
    session, _ = await running(
        broker, launch_mode="entrypoint", docker_image="me/server:1", exposed_ports=[9000]
    )

    assert session["api_endpoint"]


async def test_a_fresh_key_outlives_the_rewriting_of_the_list_of_keys(
    broker: Broker, wire: VastWire
) -> None:
    """The service rewrites the file; the fresh key is in it, and the lost one is not."""
    session, lost = await running(broker)
    status, body = await broker.call("POST", f"/api/v1/sessions/{session['id']}/rekey")
    assert 200 == status, body

    async def is_detached() -> bool:
        return "session.key_detached" in kinds(await broker.events(session["id"]))

    await eventually(is_detached)
    keys = [one.key for contract in wire.fleet.contracts.values() for one in contract.keys]
    assert 2 == len(keys)
    assert "here" == await run(session, body["ssh_private_key"], "echo here")
    assert lost != body["ssh_private_key"]


@pytest.mark.parametrize(
    ("word", "reason", "tries"),
    [
        (Word.ABANDONED, "boot_failed", 2),
        (Word.CDI_ERROR, "gpu_runtime_broken", 2),
        (Word.IMAGE_FAULT, "image_unavailable", 1),
    ],
)
async def test_a_machine_that_cannot_start_is_replaced_unless_its_image_is_missing(
    broker: Broker, wire: VastWire, word: Word, reason: str, tries: int
) -> None:
    """Each for a reason of its own; the next one is another machine."""
    wire.misfortunes.add(Misfortune(word))
    _, body = await broker.rent(**OF_VAST, auto_retry=True, retry_scope="any")
    session = await broker.until(body["session"]["id"], "running", "failed")

    assert ("failed" if tries == 1 else "running") == session["status"], session["error"]
    assert (reason, tries) == (session["attempts"][0]["reason"], len(session["attempts"]))
    assert (session["status"] == "running") == (len(wire.instances()) == 1)


async def test_a_stopped_contract_is_destroyed_and_refused(broker: Broker, wire: VastWire) -> None:
    """`success: false` with `new_contract` bills its disk until it is gone."""
    wire.misfortunes.add(Misfortune(Word.STOPPED_CONTRACT))
    status, body = await broker.rent(**OF_VAST)

    assert (502, "provider_error") == (status, body["code"])
    session = await only_session(broker)
    assert ("failed", "boot_failed") == (session["status"], session["status_reason"])
    assert session["attempts"][0]["instance_id"]
    assert [] == wire.instances()


async def test_a_machine_that_the_list_misses_and_one_answer_denies_is_kept(
    broker: Broker, wire: VastWire
) -> None:
    """Empty lists without end, and one `{"instances": null}`."""
    session, _ = await running(broker)
    wire.misfortunes.add(
        Misfortune(Word.EMPTY_LIST, times=FOR_EVER), Misfortune(Word.NULL_INSTANCE)
    )
    shown = calls(wire, Operation.SHOW)

    async def was_asked() -> bool:
        return calls(wire, Operation.SHOW) >= shown + 4

    await eventually(was_asked)
    assert "running" == (await broker.session(session["id"]))["status"]
    wire.misfortunes.clear()
    assert 1 == len(wire.instances())


async def test_a_machine_that_somebody_destroyed_ends_its_session(
    broker: Broker, wire: VastWire
) -> None:
    """No list has it, and the service says twice itself that it is gone."""
    session, _ = await running(broker)
    contract = next(iter(wire.fleet.contracts.values()))
    await broker.parts.providers["vastai"].destroy(str(contract.id))
    session = await ended(broker, session["id"])

    assert ("failed", "instance_lost") == (session["status"], session["status_reason"])


async def test_a_machine_with_a_watchdog_knows_its_deadline_and_learns_the_next(
    broker: Broker, wire: VastWire
) -> None:
    """Its own switch reads the file that the broker rewrites."""
    session, key = await running(broker, watchdog=True)

    async def deadline() -> datetime | None:
        text = await run(session, key, f"cat {WATCHDOG_FILE} 2>/dev/null")
        return datetime.fromtimestamp(int(text), UTC) if text else None

    for minutes in (0, 30):
        if minutes:
            path = f"/api/v1/sessions/{session['id']}/extend"
            await broker.call("POST", path, {"additional_minutes": minutes})
        expires_at = instant((await broker.session(session["id"]))["expires_at"])
        expected = (expires_at + timedelta(minutes=10)).replace(microsecond=0)

        async def is_told(wanted: datetime = expected) -> bool:
            return await deadline() == wanted

        await eventually(is_told)
    assert 1 == len(wire.instances())
