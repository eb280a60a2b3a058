"""What this process knows of machines, and could not write down."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from broker.decide.money import cost
from broker.model import Status
from providers.base import Instance, LaunchSpec
from tests.service.simulated.test_bound import leaked
from tests.service.test_unwritable import unwritable
from tests.simulated import SimulatedTime, simulated_broker


def test_a_machine_that_could_not_be_written_down_lives_no_longer_than_its_lease(
    time: SimulatedTime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long nothing can be written; what it has cost is written afterwards."""

    async def story() -> None:
        async with simulated_broker(time, tmp_path) as broker:
            create, rented = broker.market.create, asyncio.Event()
            goes_on = asyncio.Event()

            async def hang(spec: LaunchSpec) -> Instance:
                rented.set()
                await goes_on.wait()
                return await create(spec)

            monkeypatch.setattr(broker.market, "create", hang)
            session = await broker.open(reservation=timedelta(minutes=5))
            await rented.wait()
            async with unwritable(broker.parts, tmp_path):
                goes_on.set()
                await time.pass_by(minutes=4, seconds=30)
                assert 1 == len(await broker.alive())
                await time.pass_by(minutes=2)
                assert [] == await broker.alive()
            over = await broker.until(session.id, Status.STOPPED)
            assert over.reason == "expired"
            (bill,) = await broker.bills()
            (accrual,) = (await broker.parts.sessions.overview(session.id)).accruals
            assert abs(cost(accrual, time.now()) - bill.billed) <= bill.price_per_hour / 3600

    time.run(story())


def test_a_machine_whose_end_could_not_be_written_down_is_no_leak(
    time: SimulatedTime, tmp_path: Path
) -> None:
    """It is gone in time, and nobody counts on until that can be written."""

    async def story() -> None:
        async with simulated_broker(time, tmp_path) as broker:
            session = await broker.running(reservation=timedelta(minutes=5))
            async with unwritable(broker.parts, tmp_path):
                await time.pass_by(minutes=7)
                assert Status.RUNNING == (await broker.session(session.id)).status
                assert [] == await broker.alive()
            await broker.until(session.id, Status.STOPPED)
            await time.pass_by(minutes=1)
            assert 0.0 == leaked(broker)

    time.run(story())


def test_what_is_proved_gone_is_not_looked_for_until_it_can_be_written(
    time: SimulatedTime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two lookups prove it, and nobody's turn is taken by others."""

    async def story() -> None:
        async with simulated_broker(time, tmp_path) as broker:
            session = await broker.running(reservation=timedelta(minutes=5))
            broker.fault("error", "destroy")
            await broker.parts.sessions.done(session.id)
            get, looked = broker.market.get, []

            async def count(instance_id: str) -> Instance:
                looked.append(instance_id)
                return await get(instance_id)

            async with unwritable(broker.parts, tmp_path):
                while await broker.alive():
                    await time.pass_by(seconds=1)
                await time.pass_by(seconds=10)
                monkeypatch.setattr(broker.market, "get", count)
                await time.pass_by(minutes=2)
                assert [] == looked
            await broker.until(session.id, Status.STOPPED)

    time.run(story())
