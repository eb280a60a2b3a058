"""Brokers that start again where another one stopped, in simulated time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TypeAlias

import pytest

from broker.decide import moves
from broker.decide.money import cost
from broker.model import Reason, Session, Status
from tests.simulated import Simulated, SimulatedTime, simulated_broker

EarlierLife: TypeAlias = Callable[[Simulated, Session], Awaitable[None]]


def test_a_retry_that_was_due_waits_for_the_market(time: SimulatedTime, tmp_path: Path) -> None:
    """A broker that has just started has read no offers yet, and fails no session for that."""
    lost = {"fault": "late_effect", "operation": "create", "times": 1, "delay": "3h"}
    slow = {"fault": "slow", "operation": "list", "times": 1, "delay": "4s"}

    async def begin() -> Session:
        async with simulated_broker(time, tmp_path, providers__simulator__faults=[lost]) as broker:
            return await broker.open(reservation=timedelta(hours=2), auto_retry=True)

    async def go_on(session: Session) -> None:
        async with simulated_broker(time, tmp_path, providers__simulator__faults=[slow]) as broker:
            running = await broker.until(session.id, Status.RUNNING, Status.FAILED)
            assert (Status.RUNNING, 2) == (running.status, running.attempt), running.error

    time.run(go_on(time.run(begin())))


async def ask_without_a_call(broker: Simulated, session: Session) -> None:
    """Write that the destroying call goes out, as a process does that dies before it went."""
    now, journal = broker.time.now(), broker.parts.tools.journal
    await journal.apply(session.id, lambda s, _: moves.end(s, Reason.DONE, now, now))
    await journal.apply(session.id, lambda s, a: moves.ask_to_destroy(s, a, now))


async def fail_to_destroy(broker: Simulated, session: Session) -> None:
    """Ask for the end of its machine, and get nothing but errors."""
    broker.fault("error", "destroy", times=1_000)
    await broker.parts.sessions.done(session.id)
    await broker.time.pass_by(minutes=1)


@pytest.mark.parametrize("failures", [0, 3])
@pytest.mark.parametrize("earlier", [ask_without_a_call, fail_to_destroy])
def test_the_end_was_asked_for_when_the_first_call_was_made(
    time: SimulatedTime, tmp_path: Path, earlier: EarlierLife, failures: int
) -> None:
    """Not when a process wanted to make it that died before; and it is billed until one worked."""
    fault = {"fault": "error", "operation": "destroy", "times": failures}
    faults = [fault] if failures else []

    async def begin() -> Session:
        async with simulated_broker(time, tmp_path) as broker:
            session = await broker.running()
            await earlier(broker, session)
            return session

    async def go_on(session: Session) -> None:
        restarted_at = time.now()
        async with simulated_broker(time, tmp_path, providers__simulator__faults=faults) as broker:
            await broker.until(session.id, Status.STOPPED)
            overview = await broker.parts.sessions.overview(session.id)
            (attempt,), (accrual,) = overview.attempts, overview.accruals
            (bill,) = await broker.bills()
        assert attempt.destroy_asked_at is not None
        was_asked_before = attempt.destroy_asked_at < restarted_at
        assert was_asked_before == (earlier is fail_to_destroy)
        assert attempt.destroy_asked_at < restarted_at + timedelta(seconds=1)
        short = bill.billed - cost(accrual, time.now())
        assert abs(short) <= bill.price_per_hour / 3600 + Decimal("0.000001")

    session = time.run(begin())
    time.run(time.pass_by(hours=1))
    time.run(go_on(session))
