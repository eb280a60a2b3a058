"""Machines that end themselves: what they are told, and what moves their deadline."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from providers.base import WATCHDOG_FILE
from providers.simulator.home import FOLDER
from tests.service.conftest import Broker, Serve
from tests.service.odd_market import odd_market, serve_oddly
from tests.service.scenarios import FOR_EVER, assert_sound, instant, running
from tests.waiting import eventually

__all__ = ["serve_oddly"]

_MARGIN = timedelta(minutes=10)


def file_of(broker: Broker, session: Any) -> Path:
    """Where a session's machine reads its deadline."""
    machines = broker.parts.settings.data_dir / FOLDER
    return machines / session["provider_instance_id"] / "root" / WATCHDOG_FILE


async def told(broker: Broker, session: Any) -> None:
    """Wait until the machine knows the end of the session as it is now, and its margin."""
    expires_at = instant((await broker.session(session["id"]))["expires_at"])
    file = file_of(broker, session)
    expected = f"{int((expires_at + _MARGIN).timestamp())}\n"

    async def is_told() -> bool:
        return file.exists() and file.read_text() == expected

    await eventually(is_told)


async def events(broker: Broker, session: Any, kind: str, least: int = 1) -> list[Any]:
    """The data of all events of one type, as soon as there are so many."""

    async def enough() -> list[Any]:
        found = [e["data"] for e in await broker.events(session["id"]) if e["type"] == kind]
        return found if len(found) >= least else []

    return list(await eventually(enough))


@pytest.mark.parametrize(
    "fields",
    [
        {"managed_access": False},
        {"launch_mode": "entrypoint", "docker_image": "me/x:1", "exposed_ports": [9000]},
    ],
)
async def test_a_watchdog_that_could_not_be_moved_is_refused(
    market_only: Broker, fields: dict[str, Any]
) -> None:
    """The broker needs its own login for an extension."""
    status, body = await market_only.rent(watchdog=True, **fields)

    assert (400, "validation_error") == (status, body["code"])
    assert ["watchdog"] == [detail["field"] for detail in body["details"]]


async def test_a_machine_with_a_watchdog_is_told_its_deadline_and_every_new_one(
    serve_oddly: Serve,
) -> None:
    """The creation has it; an extension moves it on the machine, and waits for nothing."""
    async with serve_oddly() as broker:
        plain = await running(broker, consumer_id="careless")
        session = await running(broker, watchdog=True)
        without, spec = odd_market(broker).specs
        assert without.watchdog_at is None
        expires_at = instant(session["expires_at"])
        assert (expires_at + _MARGIN).replace(microsecond=0) == spec.watchdog_at
        await told(broker, session)

        status, _ = await broker.call(
            "POST", f"/api/v1/sessions/{session['id']}/extend", {"additional_minutes": 30}
        )
        assert 200 == status
        await told(broker, session)
        first, second = await events(broker, session, "watchdog.deadline_written", 2)
        assert (None, first["deadline"]) == (first["before"], second["before"])
        moved = instant(second["deadline"]) - instant(first["deadline"])
        assert timedelta(minutes=30) == moved
        assert not file_of(broker, plain).exists()
        await broker.call("DELETE", f"/api/v1/sessions/{session['id']}")
        await assert_sound(broker, machines=1)


async def test_a_broker_that_starts_tells_every_watchdog_again(serve_oddly: Serve) -> None:
    """What an earlier process has written is not known; what is right already is no event."""
    async with serve_oddly() as broker:
        right = await running(broker, watchdog=True)
        wrong = await running(broker, watchdog=True, consumer_id="other")
        for session in (right, wrong):
            await told(broker, session)
        file = file_of(broker, wrong)
    file.write_text("12\n")
    async with serve_oddly() as broker:
        await told(broker, wrong)
        _, again = await events(broker, wrong, "watchdog.deadline_written", 2)
        assert datetime.fromtimestamp(12, UTC) == instant(again["before"])
        assert 1 == len(await events(broker, right, "watchdog.deadline_written"))


async def test_a_deadline_that_cannot_be_moved_is_shouted_about_until_it_can(
    serve_oddly: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine would end itself: the session's events and the log say so."""
    monkeypatch.setattr("broker.decide.watchdog._FIRST_PAUSE", timedelta(milliseconds=50))
    monkeypatch.setattr("broker.decide.keys._FIRST_PAUSE", timedelta(milliseconds=50))
    async with serve_oddly() as broker:
        market = odd_market(broker)
        session = await running(broker, watchdog=True)
        await told(broker, session)
        await market.forget_keys(session["provider_instance_id"])
        market.key_troubles = FOR_EVER
        await broker.call(
            "POST", f"/api/v1/sessions/{session['id']}/extend", {"additional_minutes": 30}
        )
        (shout, *_) = await events(broker, session, "watchdog.deadline_not_written")
        assert "does not accept the key" in shout["detail"]
        assert "running" == (await broker.session(session["id"]))["status"]
        market.key_troubles = 0
        await told(broker, session)
