"""A machine whose creation could not be written down."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from broker.decide.money import cost
from broker.model import Status
from providers.base import Instance, LaunchSpec
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
