"""Brokers that start again where another one stopped, in simulated time."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from broker.model import Session, Status
from tests.simulated import SimulatedTime, simulated_broker


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
