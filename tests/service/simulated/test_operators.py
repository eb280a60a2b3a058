"""Hours of an operator: holds that end at their instant, destructions that fail for long."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from broker.decide.destruction import PATIENCE
from broker.model import Reason, Status
from tests.simulated import Simulated, SimulatedTime, simulated_broker

A_MOMENT = timedelta(seconds=2)
HOUR = timedelta(hours=1)
FOR_EVER = 1_000_000


def test_a_hold_outlasts_the_hard_maximum_and_ends_at_its_instant(
    time: SimulatedTime, tmp_path: Path
) -> None:
    """The machine lives as long as the operator has said, and not a moment longer."""

    async def happen() -> None:
        async with simulated_broker(time, tmp_path, lifecycle__hard_max_hours=1) as broker:
            session = await broker.running()
            held = await broker.parts.holds.hold(session.id, 1.5 * HOUR, "hours", "a long run")
            assert held.held_until is not None
            await time.pass_by(hours=1.4)
            assert Status.RUNNING is (await broker.session(session.id)).status
            assert 1 == len(await broker.alive())

            over = await broker.until(session.id, Status.STOPPED)

            assert (Reason.EXPIRED, held.held_until) == (over.reason, over.due_at)
            assert over.stopped_at is not None
            assert timedelta() <= over.stopped_at - held.held_until <= A_MOMENT
            assert [] == await broker.alive()
            events = [event.type for event in await broker.events(session.id)]
            assert 1 == events.count("session.expiring")

    time.run(happen())


async def _passes(broker: Simulated, span: timedelta) -> None:
    await broker.time.pass_by(seconds=span.total_seconds())


def test_a_destruction_becomes_alarming_when_it_has_failed_for_a_minute(
    time: SimulatedTime, tmp_path: Path
) -> None:
    """Not before, however often it was tried; and no longer than until the proof."""

    async def happen() -> None:
        async with simulated_broker(time, tmp_path) as broker:
            session = await broker.running()
            broker.fault("error", "destroy", FOR_EVER)
            await broker.parts.sessions.done(session.id)
            await _passes(broker, PATIENCE - A_MOMENT)
            assert [] == await broker.daemon.alarms()
            assert {"simulator": 1} == broker.parts.tools.destructions.counts

            await _passes(broker, 2 * A_MOMENT)
            (alarm,) = await broker.daemon.alarms()
            assert "simulator does not destroy 1 of our machines" in alarm

            broker.market.faults.clear()
            await broker.until(session.id, Status.STOPPED)
            assert [] == await broker.daemon.alarms()

    time.run(happen())
