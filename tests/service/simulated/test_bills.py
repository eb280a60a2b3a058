"""What sessions cost is what the account bills for their machines, to the second for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from broker.decide.money import cost
from broker.effects import Effect
from broker.model import Session, Status
from providers.errors import ProviderError, Unauthorized, Unavailable
from tests.simulated import Simulated, SimulatedTime, simulated_broker


async def assert_billed_truly(broker: Simulated, session: Session) -> None:
    """Every machine of the session costs what the account bills for it by now."""
    now = broker.time.now()
    overview = await broker.parts.sessions.overview(session.id)
    held = {attempt.instance_id: attempt.n for attempt in overview.attempts}
    bills = {held[bill.instance_id]: bill for bill in await broker.bills()}
    assert bills
    for n, bill in bills.items():
        costs = sum(cost(one, now) for one in overview.accruals if one.attempt == n)
        assert abs(costs - bill.billed) <= bill.price_per_hour / 3600, (n, costs, bill)


@pytest.mark.parametrize(
    "misfortunes",
    [
        [("ignored", 1), ("error", 4), ("reply_lost", 5)],
        [("ignored", 1), ("refused", 4), ("late_effect", 1)],
        [("ignored", 3), ("reply_lost", 1)],
        [("error", 5), ("ignored", 2), ("error", 3)],
    ],
)
def test_a_machine_is_billed_until_the_call_that_ended_it(
    time: SimulatedTime, tmp_path: Path, misfortunes: Sequence[tuple[str, int]]
) -> None:
    """Whatever was answered to the calls before it, and whether its own answer is heard."""

    async def story() -> None:
        async with simulated_broker(time, tmp_path) as broker:
            session = await broker.running()
            for fault, times in misfortunes:
                broker.fault(fault, "destroy", times)
            await broker.parts.sessions.done(session.id)
            over = await broker.until(session.id, Status.STOPPED)
            await assert_billed_truly(broker, over)

    time.run(story())


@pytest.mark.parametrize("fault", ["ignored", "error", "refused"])
def test_a_machine_that_no_call_ends_is_billed_on(
    time: SimulatedTime, tmp_path: Path, fault: str
) -> None:
    """As soon as it is seen to be up in spite of it all; and in the end."""

    async def story() -> None:
        async with simulated_broker(time, tmp_path) as broker:
            session = await broker.running()
            broker.fault(fault, "destroy", 1_000)
            await broker.parts.sessions.done(session.id)
            await time.pass_by(minutes=10)
            await still_up(broker, session)
            await assert_billed_truly(broker, session)
            broker.market.faults.clear()
            over = await broker.until(session.id, Status.STOPPED)
            await assert_billed_truly(broker, over)

    time.run(story())


@contextmanager
def failing(broker: Simulated, error: type[ProviderError]) -> Iterator[None]:
    """All that the market is asked about machines ends in an error, and does nothing."""

    async def fail(*_: object) -> NoReturn:
        raise error

    with pytest.MonkeyPatch.context() as patched:
        for call in ("list_instances", "get", "destroy"):
            patched.setattr(broker.market, call, fail)
        yield


async def assert_billed_until_missed(broker: Simulated, session: Session) -> None:
    """Its machine is destroyed by hand now, and billed until that is seen: a minute at most."""
    await broker.market.destroy(session.instance_id or "")
    over = await broker.until(session.id, Status.STOPPED)
    (bill,) = await broker.bills()
    (accrual,) = (await broker.parts.sessions.overview(session.id)).accruals
    late = cost(accrual, broker.time.now()) - bill.billed
    assert 0 <= late <= bill.price_per_hour / 60, (over, late)


def test_a_machine_that_nobody_may_destroy_is_billed_on(
    time: SimulatedTime, tmp_path: Path
) -> None:
    """A refused call destroys nothing: the meter stops when the owner has destroyed it by hand."""

    async def story() -> None:
        async with simulated_broker(time, tmp_path) as broker:
            session = await broker.running()
            with failing(broker, Unauthorized):
                await time.pass_by(seconds=1)
                await broker.parts.sessions.done(session.id)
                await time.pass_by(minutes=10)
                await assert_billed_truly(broker, session)
            await assert_billed_until_missed(broker, session)

    time.run(story())


def test_a_machine_whose_end_got_no_answer_is_billed_until_it_was_missed(
    time: SimulatedTime, tmp_path: Path
) -> None:
    """Nobody knows which of the calls had its effect, and when: it may have been the last one."""

    async def story() -> None:
        async with simulated_broker(time, tmp_path) as broker:
            session = await broker.running()
            with failing(broker, Unavailable):
                await broker.parts.sessions.done(session.id)
                await time.pass_by(minutes=10)
            await assert_billed_until_missed(broker, session)

    time.run(story())


async def still_up(broker: Simulated, session: Session) -> None:
    """Until it is noticed that a call had no effect."""
    with broker.parts.tools.journal.watch(session.id) as changes:
        names = {Effect.DESTROY_IGNORED, Effect.RUN_ON}
        assert await changes.until(lambda change: change.name in names, 100)
