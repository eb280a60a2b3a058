"""Silence that ends nothing: marketplaces that never answer, machines that rest."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import pytest

from broker.api.models import SessionCreate
from broker.api.requests import request_of
from broker.model import Status
from broker.usecases.doors import Door
from providers.base import LaunchSpec
from providers.errors import OutcomeUnknown, Unavailable
from tests.builders import a_label, an_offer
from tests.service.markets import Deaf, ScriptedMarket
from tests.service.scenarios import FOR_EVER
from tests.simulated import SimulatedTime, simulated_broker


class Silent(ScriptedMarket):
    """It takes every call, and answers none."""

    async def _hang(self, *_: object) -> NoReturn:
        await asyncio.Event().wait()
        raise AssertionError

    list_offers = list_instances = create = get = destroy = _hang


SPEC = LaunchSpec(an_offer(), a_label(), ())
CALLS: dict[str, Callable[[Door], Awaitable[object]]] = {
    "list_offers": lambda door: door.list_offers(),
    "list_instances": lambda door: door.list_instances(),
    "get": lambda door: door.get("i-1"),
    "create": lambda door: door.create(SPEC),
    "destroy": lambda door: door.destroy("i-1"),
}


@pytest.mark.parametrize("operation", CALLS)
def test_a_call_that_is_never_answered_is_given_up(time: SimulatedTime, operation: str) -> None:
    """After ten minutes at most, its turn included; whether a machine was made is open then."""

    async def story() -> None:
        begun_at = time.now()
        expected = OutcomeUnknown if operation == "create" else Unavailable
        with pytest.raises(expected, match="did not answer"):
            await CALLS[operation](Door(Silent("cloud"), Deaf(), now=time.now))
        assert time.now() - begun_at <= timedelta(minutes=10)

    time.run(story())


def test_a_creation_that_is_never_answered_is_looked_for(
    time: SimulatedTime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine that it made is found by its label, and no other one is rented."""

    async def story() -> None:
        async with simulated_broker(time, tmp_path) as broker:
            create = broker.market.create

            async def hang(spec: LaunchSpec) -> None:
                await create(spec)
                await asyncio.Event().wait()

            monkeypatch.setattr(broker.market, "create", hang)
            session = await broker.open()
            session = await broker.until(session.id, Status.RUNNING, Status.FAILED)
            assert (Status.RUNNING, 1) == (session.status, session.attempt)
            assert [session.instance_id] == [bill.instance_id for bill in await broker.bills()]

    time.run(story())


def test_without_a_threshold_nobody_is_watched(time: SimulatedTime, tmp_path: Path) -> None:
    """Zero is never: a machine that rests all the time lives until its reservation is over."""

    async def story() -> None:
        async with simulated_broker(time, tmp_path) as broker:
            body: dict[str, object] = {"consumer_id": "c", "workload_type": "llm"}
            body |= {"gpu_type": "A100", "reservation_hours": 1, "idle_threshold_minutes": 0}
            asked = request_of(SessionCreate.model_validate(body))
            session = await broker.running(idle_threshold=asked.idle_threshold)
            await time.pass_by(minutes=58)
            assert Status.RUNNING == (await broker.session(session.id)).status
            told = {event.type for event in await broker.events(session.id)}
            assert not told & {"session.idling", "session.idle"}

    time.run(story())


@pytest.mark.parametrize("failing", [("get",), ("list",), ("get", "list")], ids="+".join)
@pytest.mark.parametrize("word", ["ignored", "error"])
def test_a_machine_that_cannot_be_looked_at_is_not_gone(
    time: SimulatedTime, tmp_path: Path, word: str, failing: Sequence[str]
) -> None:
    """However often: no failing call is a denial, whatever became of the destruction."""

    async def story() -> None:
        async with simulated_broker(time, tmp_path) as broker:
            session = await broker.running()
            for operation in failing:
                broker.fault("error", operation, FOR_EVER)
            broker.fault(word, "destroy", FOR_EVER)
            await broker.parts.sessions.done(session.id)
            await time.pass_by(minutes=10)
            assert Status.STOPPING == (await broker.session(session.id)).status
            assert [session.instance_id] == [bill.instance_id for bill in await broker.alive()]
            broker.market.faults.clear()
            await broker.until(session.id, Status.STOPPED)
            assert [] == await broker.alive()

    time.run(story())
