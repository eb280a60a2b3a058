"""Meters go on from where they stood when the wall clock was set."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from broker.decide.jumps import Jump
from broker.decide.meter import moved
from broker.effects import Effect
from broker.errors import StoreUnwritable
from broker.model import Attempt, Change, Session
from broker.store import Store
from broker.usecases.journal import Journal
from tests.builders import NOW
from tests.service.store_examples import HOUR, accrual, add, opened, session

SET = Jump(HOUR, set_by=HOUR)
SLEPT = Jump(HOUR, set_by=timedelta())


class Told:
    """Who is told of moved meters."""

    def __init__(self) -> None:
        self.by: list[timedelta] = []

    def meters_moved(self, by: timedelta) -> None:
        self.by.append(by)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store on a fresh database."""
    async with opened(tmp_path) as one:
        yield one


async def metered(store: Store) -> Session:
    """A session whose meter runs since NOW."""
    of = await add(store, session(1))
    return await store.commit(Change(Effect.ACCEPT, of, accrual=accrual(of)))


async def test_meters_follow_every_setting_of_the_clock(store: Store) -> None:
    """Once, and whoever follows them is told."""
    of, told = await metered(store), Told()
    journal = Journal(store, meters=[told])
    for jump in (SET, Jump(-3 * HOUR, set_by=-3 * HOUR)):
        journal.clock_jumped(jump, NOW)
    for _ in range(2):
        await journal.follow_clock()
    assert [moved(accrual(of), -2 * HOUR)] == await store.accruals()
    assert [-2 * HOUR] == told.by


async def test_a_machine_is_billed_while_the_computer_of_the_broker_sleeps(store: Store) -> None:
    """Its clock has jumped, and nobody has set it."""
    of, told = await metered(store), Told()
    journal = Journal(store, meters=[told])
    journal.clock_jumped(SLEPT, NOW)
    await journal.follow_clock()
    assert [accrual(of)] == await store.accruals()
    assert [] == told.by


async def test_nothing_is_decided_by_two_clocks(store: Store) -> None:
    """Who has read a session when the clock is set decides again, after its meter has followed."""
    of = await metered(store)
    journal, versions = Journal(store), []

    def decide(session: Session, _: Attempt) -> Change:
        if not versions:
            journal.clock_jumped(SET, NOW)
        versions.append(session.version)
        ends_at = NOW + len(versions) * HOUR
        return Change(Effect.DESTROYING, session, accrual=accrual(of, ends_at=ends_at))

    await journal.apply(of.id, decide)
    assert [of.version, of.version + 1] == versions
    (written,) = await store.accruals()
    assert (NOW + HOUR, NOW + 2 * HOUR) == (written.begins_at, written.ends_at)


async def test_meters_that_cannot_follow_at_once_follow_before_anything_is_decided(
    store: Store, tmp_path: Path
) -> None:
    """A database that takes nothing takes no change either."""
    of = await metered(store)
    journal = Journal(store)
    journal.clock_jumped(SET, NOW)
    await become_impatient(store)
    with closing(sqlite3.connect(tmp_path / "broker.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for attempted in (journal.follow_clock(), journal.apply(of.id, nothing)):
            with pytest.raises(StoreUnwritable):
                await attempted
    await journal.apply(of.id, nothing)
    assert [moved(accrual(of), HOUR)] == await store.accruals()


def nothing(_: Session, __: Attempt) -> None:
    """Decides that nothing is to be written."""


async def become_impatient(store: Store) -> None:
    """Let the writer wait for no other process."""

    def set_timeout(connection: sa.Connection) -> None:
        connection.exec_driver_sql("PRAGMA busy_timeout = 0")

    await store._writer.run(Effect.SET_META, set_timeout)
