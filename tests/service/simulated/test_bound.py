"""The promise of the README: how soon a machine that nobody may have any more is destroyed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Coroutine
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from broker.decide.leaks import REACTION
from broker.model import Session, Status
from providers.base import LaunchSpec
from providers.label import Label
from tests.simulated import Simulated, SimulatedTime, simulated_broker

Happen: TypeAlias = Callable[[Coroutine[Any, Any, None]], None]

LONG = timedelta(hours=12)
GRACE, RECONCILIATION = timedelta(minutes=5), timedelta(minutes=1)
"""As users have them."""
BETWEEN_TRIES = timedelta(seconds=30)
"""The longest pause between two calls that destroy one machine."""
GIVEN_UP = timedelta(minutes=1)
"""After which time a call that hangs is given up."""
FOR_EVER = 1_000_000


async def an_orphan(broker: Simulated) -> str:
    """A machine with our label that no session has ever had; its id."""
    deployment = broker.parts.tools.rules.deployment
    label = Label(deployment, "sess-aaaaaaaaaaaa", broker.time.now() + timedelta(hours=13), 1)
    offers = (await broker.market.list_offers()).offers
    return (await broker.market.create(LaunchSpec(offers[-1], str(label), ()))).id


async def destroyed_at(broker: Simulated, instance_id: str | None) -> datetime | None:
    """When the market accepted the end of a machine, and the bill stopped."""
    return {bill.instance_id: bill.ends_at for bill in await broker.bills()}[instance_id or ""]


async def first_seen_at(broker: Simulated) -> datetime:
    """When the orphan was first noticed."""
    while True:
        for event in await broker.events():
            if event.type == "orphan.detected":
                return event.created_at
        await broker.time.pass_by(seconds=1)


def leaked(broker: Simulated) -> float:
    """The machine-seconds that the broker itself has metered beyond its promise."""
    name, labels = "gpu_leaked_machine_seconds_total", {"provider": "simulator"}
    return broker.parts.metrics.registry.get_sample_value(name, labels) or 0.0


def test_a_machine_is_destroyed_when_its_session_ends(time: SimulatedTime, tmp_path: Path) -> None:
    """Within two seconds of the end being due, however it came about and how many end at once."""

    async def story() -> None:
        async with simulated_broker(time, tmp_path) as broker:
            expiring = [
                await broker.running(consumer_id=f"c{n}", reservation=timedelta(minutes=30))
                for n in range(8)
            ]
            done = await broker.running(consumer_id="done", reservation=LONG)
            deleted = await broker.running(consumer_id="deleted", reservation=LONG)
            idle = await broker.running(
                consumer_id="idle", reservation=LONG, idle_threshold=timedelta(minutes=10)
            )
            broker.fault("wrong_gpu", "boot")
            await broker.open(consumer_id="deceived", reservation=LONG)
            await time.pass_by(minutes=7, seconds=13)
            await broker.parts.sessions.done(done.id)
            await broker.parts.sessions.delete(deleted.id)
            await time.pass_by(minutes=40)
            assert [] == await broker.alive()
            for one in (*expiring, done, deleted, idle):
                over = await broker.session(one.id)
                ended_at = await destroyed_at(broker, one.instance_id)
                assert ended_at is not None
                assert over.due_at is not None
                assert over.due_at <= ended_at <= over.due_at + REACTION, over.reason
            assert 0 == leaked(broker)

    time.run(story())


def test_an_orphan_is_destroyed_after_its_grace(time: SimulatedTime, tmp_path: Path) -> None:
    """Within the grace and one reconciliation of being first seen, and never before the grace."""

    async def story() -> None:
        async with simulated_broker(time, tmp_path) as broker:
            await time.pass_by(seconds=17)
            orphan = await an_orphan(broker)
            seen_at = await first_seen_at(broker)
            await time.pass_by(minutes=10)
            ended_at = await destroyed_at(broker, orphan)
            assert ended_at is not None
            assert GRACE <= ended_at - seen_at <= GRACE + RECONCILIATION
            assert 0 == leaked(broker)

    time.run(story())


@pytest.mark.parametrize(
    ("misfortune", "given_up"),
    [({"fault": "error"}, timedelta()), ({"fault": "slow", "delay": "3h"}, GIVEN_UP)],
    ids=["it fails", "it hangs"],
)
def test_a_provider_that_was_down_for_an_hour_loses_its_machines_when_it_recovers(
    time: SimulatedTime, tmp_path: Path, misfortune: dict[str, str], given_up: timedelta
) -> None:
    """Within one interval of its recovery; what was leaked meanwhile is metered while it lasts."""

    async def story() -> None:
        async with simulated_broker(time, tmp_path) as broker:
            kept = await broker.running(consumer_id="kept", reservation=LONG)
            short = timedelta(minutes=10)
            ending = [await broker.running(consumer_id=f"c{n}", reservation=short) for n in "abc"]
            orphan = await an_orphan(broker)
            await first_seen_at(broker)
            for operation in ("list", "get", "destroy"):
                broker.fault(operation=operation, times=FOR_EVER, **misfortune)
            due_at = max(session.expires_at for session in ending)
            await time.pass_by(seconds=(due_at - time.now()).total_seconds())
            before = leaked(broker)
            await time.pass_by(hours=1)
            assert 5 == len(await broker.alive())
            machines = len([*ending, orphan])
            metered = leaked(broker) - before
            assert (machines - 0.1) * 3600 <= metered <= machines * 3600
            broker.market.faults.clear()
            recovered_at = time.true_now()
            await time.pass_by(minutes=10)
            for session in ending:
                ended_at = await destroyed_at(broker, session.instance_id)
                assert ended_at is not None
                assert ended_at - recovered_at <= given_up + BETWEEN_TRIES
                assert Status.STOPPED == (await broker.session(session.id)).status
            ended_at = await destroyed_at(broker, orphan)
            assert ended_at is not None
            assert ended_at - recovered_at <= given_up + RECONCILIATION
            assert Status.RUNNING == (await broker.session(kept.id)).status
            after = leaked(broker)
            await time.pass_by(minutes=10)
            assert after == leaked(broker)

    time.run(story())


def test_a_broker_that_was_down_destroys_what_is_over_when_it_starts(
    time: SimulatedTime, tmp_path: Path
) -> None:
    """It waits for no marketplace that does not answer."""

    async def rent() -> Session:
        async with simulated_broker(time, tmp_path) as broker:
            return await broker.running()

    async def start(session: Session) -> None:
        begun_at = time.true_now()
        hanging = [{"fault": "slow", "operation": "list", "times": FOR_EVER, "delay": "3h"}]
        async with simulated_broker(time, tmp_path, providers__simulator__faults=hanging) as broker:
            ended_at = await destroyed_at(broker, session.instance_id)
            assert ended_at is not None
            assert ended_at - begun_at <= REACTION

    session = time.run(rent())
    time.run(time.pass_by(hours=2))
    time.run(start(session))


def rename_table(folder: Path, before: str, after: str) -> None:
    """What reads or writes the table under its old name fails."""
    with closing(sqlite3.connect(folder / "broker.db")) as database:
        database.execute(f"ALTER TABLE {before} RENAME TO {after}")


def test_a_read_that_fails_when_an_end_is_due_delays_it_by_a_moment(
    time: SimulatedTime, tmp_path: Path
) -> None:
    """The alarm rings again, and does not leave the end to the next sweep."""

    async def live() -> None:
        async with simulated_broker(time, tmp_path, lifecycle__check_interval="3h") as broker:
            session = await broker.running()
            rename_table(tmp_path, "sessions", "hidden")
            await time.pass_by(hours=1, minutes=5)
            rename_table(tmp_path, "hidden", "sessions")
            readable_at = time.now()
            assert 1 == len(await broker.alive())
            await broker.until(session.id, Status.STOPPED)
            (bill,) = await broker.bills()
            assert bill.ends_at is not None
            assert bill.ends_at - readable_at <= REACTION

    time.run(live())
