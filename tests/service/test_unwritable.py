"""A database that takes nothing: everybody is told, and machines whose end is due end."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from broker.app.backups import back_up, restore
from broker.app.build import Parts, built
from broker.app.daemon import Daemon
from broker.clock import utcnow
from broker.effects import Effect
from broker.errors import StoreUnwritable
from broker.model import Change, Status
from broker.usecases import workers
from tests.service.conftest import UNHURRIED, Broker, Serve, eventually
from tests.service.scenarios import (
    a_label,
    assert_sound,
    ended,
    made,
    market,
    metric,
    running,
)
from tests.service.store_examples import add, kept_locked
from tests.service.store_examples import session as session_of

GAUGE = "gpu_database_unwritable"


@pytest.fixture(autouse=True)
def quick_to_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that could not write try again at once."""
    monkeypatch.setattr(workers, "_AFTER_AN_ACCIDENT", timedelta(milliseconds=50))


async def ends_soon(broker: Broker, session_id: str) -> None:
    """Let its lease be over in a moment."""
    over = broker.parts.tools.now() + timedelta(seconds=1)
    await broker.parts.tools.journal.apply(
        session_id, lambda s, _: Change(Effect.MARK_IDLE, replace(s, expires_at=over))
    )


async def become_impatient(parts: Parts) -> None:
    """Let the writer wait for no other process."""

    def set_timeout(connection: sa.Connection) -> None:
        connection.exec_driver_sql("PRAGMA busy_timeout = 0")

    await parts.tools.store._writer.run(Effect.SET_META, set_timeout)


@asynccontextmanager
async def unwritable(parts: Parts, folder: Path) -> AsyncIterator[None]:
    """Another process has begun to write, and does not come to an end."""
    await become_impatient(parts)
    with kept_locked(folder / "broker.db"):
        yield


async def is_well(broker: Broker) -> bool:
    """Whether the broker says so."""
    status, body = await broker.call("GET", "/health")
    return (status, body["status"]) == (200, "ok")


async def has_said_why(daemon: Daemon) -> bool:
    """Whether the broker says that it cannot write."""
    return any("cannot be written" in trouble for trouble in daemon.troubles)


async def is_ready(daemon: Daemon) -> bool:
    """Whether the broker takes sessions."""
    return daemon.is_ready


async def test_a_due_end_is_carried_out_though_it_cannot_be_written(
    broker: Broker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And written down later, with what was billed; two lines of the log tell of all that."""
    session = await running(broker)
    await ends_soon(broker, session["id"])

    async def no_machine_is_left() -> bool:
        return not await market(broker).list_instances()

    async with unwritable(broker.parts, tmp_path):
        await eventually(no_machine_is_left)
        assert "running" == (await broker.session(session["id"]))["status"]

    session = await ended(broker, session["id"])
    assert ("stopped", "expired") == (session["status"], session["status_reason"])
    await eventually(lambda: is_well(broker))
    await assert_sound(broker)
    errors = [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR]
    assert ["The database cannot be written"] == [one.partition(":")[0] for one in errors]


async def test_a_due_end_waits_for_no_attempt_to_write_it(broker: Broker, tmp_path: Path) -> None:
    """Each may take as long as the one who locks the database is waited for."""
    session = await running(broker)
    store = broker.parts.tools.store
    is_over = threading.Event()

    async def no_machine_is_left() -> bool:
        return not await market(broker).list_instances()

    await ends_soon(broker, session["id"])
    async with unwritable(broker.parts, tmp_path):
        with pytest.raises(StoreUnwritable):
            await store.set_meta("attempted", "")
        attempt = asyncio.ensure_future(store._writer._in_thread(is_over.wait))
        try:
            await eventually(no_machine_is_left)
            assert not attempt.done()
        finally:
            is_over.set()
            await attempt

    await ended(broker, session["id"])
    await assert_sound(broker)


async def test_a_session_that_stops_is_destroyed_though_nothing_can_be_written(
    broker: Broker, tmp_path: Path
) -> None:
    """What was asked for before is done, and an end that was asked for stays asked for."""
    session = await running(broker)
    await broker.fault("error", "destroy", times=2)
    await broker.call("POST", f"/api/v1/sessions/{session['id']}/done")

    async def no_machine_is_left() -> bool:
        return not await market(broker).list_instances()

    async with unwritable(broker.parts, tmp_path):
        await eventually(no_machine_is_left)

    session = await ended(broker, session["id"])
    assert ("stopped", "done") == (session["status"], session["status_reason"])
    await assert_sound(broker)


async def test_an_orphan_is_destroyed_though_nothing_can_be_written(
    broker: Broker, tmp_path: Path
) -> None:
    """Whether it was seen before or not; the machine of a live session stays."""
    session = await running(broker)
    alive = session["provider_instance_id"]
    label = a_label(broker)
    known = await made(broker, label)

    async def is_seen() -> bool:
        return bool(await broker.parts.tools.store.sightings("simulator"))

    async def only_the_held_one_is_left() -> bool:
        return [alive] == [one.id for one in await market(broker).list_instances()]

    await eventually(is_seen)
    async with unwritable(broker.parts, tmp_path):
        assert known != await made(broker, label.replace("aaaaaaaaaaaa", "bbbbbbbbbbbb"))
        await eventually(only_the_held_one_is_left)

    async def is_written() -> bool:
        return not await broker.parts.tools.store.sightings("simulator")

    await eventually(lambda: is_well(broker))
    await eventually(is_written)
    assert "running" == (await broker.session(session["id"]))["status"]
    await assert_sound(broker, machines=1, unheld=2)


async def test_the_machine_of_a_failed_attempt_is_destroyed_though_nothing_can_be_written(
    serve: Serve, tmp_path: Path
) -> None:
    """How it failed is written later, and only then another one is rented."""
    async with serve(providers__simulator__boot_time="1s") as broker:
        await broker.fault("wrong_gpu", "boot", times=1)
        _, body = await broker.rent(auto_retry=True)
        session_id = body["session"]["id"]

        async def no_machine_is_left() -> bool:
            return not await market(broker).list_instances()

        async with unwritable(broker.parts, tmp_path):
            await eventually(no_machine_is_left)
            session = await broker.session(session_id)
            assert ("provisioning", 1) == (session["status"], len(session["attempts"]))

        session = await broker.until(session_id, "running", "failed")
        assert ("running", ["wrong_gpu", None]) == (
            session["status"],
            [attempt["reason"] for attempt in session["attempts"]],
        )
        await assert_sound(broker, machines=1)


async def test_nothing_is_rented_that_could_not_be_written_down(
    serve: Serve, tmp_path: Path
) -> None:
    """A session that was recorded before waits with its call until it can be told of."""
    async with serve(**UNHURRIED) as broker:
        store = broker.parts.tools.store
        offer = (await market(broker).list_offers()).offers[0]
        later = utcnow() + timedelta(hours=1)
        lease = {"expires_at": later, "hard_max_at": later, "label_deadline": later}
        of = await add(store, session_of(1, offer=offer, **lease))

        async def has_tried() -> bool:
            return store.outage is not None

        async with unwritable(broker.parts, tmp_path):
            broker.parts.workers.ensure(of.id)
            await eventually(has_tried)
            assert "pending" == (await broker.session(of.id))["status"]
            assert not await market(broker).list_instances()
        await broker.until(of.id, "provisioning", "failed")


async def test_whoever_asks_is_told_that_nothing_can_be_written(
    broker: Broker, tmp_path: Path
) -> None:
    """The health, the metrics, and a client, who may try again."""
    session = await running(broker)
    assert 0 == await metric(broker, GAUGE)
    path = f"/api/v1/sessions/{session['id']}"

    async with unwritable(broker.parts, tmp_path):
        for answered, body in (
            await broker.call("DELETE", path),
            await broker.rent(consumer_id="another"),
        ):
            assert (503, "not_ready", True) == (answered, body["code"], body["retry_suggested"])
            assert body["error"] == (
                "The database cannot be written: another process keeps it locked."
            )
        status, health = await broker.call("GET", "/health")
        assert (503, "unavailable", "false") == (
            status,
            health["status"],
            health["services"]["ready"],
        )
        (trouble,) = health["troubles"]
        assert trouble.startswith("the database cannot be written since 20")
        assert trouble.endswith(": another process keeps it locked")
        assert 503 == (await broker.call("GET", "/ready"))[0]
        assert 1 == await metric(broker, GAUGE)
        assert "running" == (await broker.session(session["id"]))["status"]

    await eventually(lambda: is_well(broker))
    assert 0 == await metric(broker, GAUGE)
    assert 200 == (await broker.call("DELETE", path))[0]


async def test_a_copy_that_cannot_be_written_ends_nothing(serve: Serve, tmp_path: Path) -> None:
    """Before its leases got their time, none of them is over: the start waits, and says why."""
    copy = tmp_path / "copy.db"
    async with serve(**UNHURRIED, lifecycle__orphan_grace_period="1h") as broker:
        session = await running(broker)
        await ends_soon(broker, session["id"])
        back_up(broker.parts.settings, copy)
    restore(broker.parts.settings, copy)
    async with built(broker.parts.settings, utcnow) as parts:
        daemon = Daemon(parts)
        async with unwritable(parts, tmp_path):
            daemon.start()
            await eventually(lambda: has_said_why(daemon))
            assert 1 == len(await parts.providers["simulator"].list_instances())
        await eventually(lambda: is_ready(daemon))
        row, _ = await parts.tools.journal.read(session["id"])
        assert Status.RUNNING is row.status
        await daemon.stop()


async def test_a_start_waits_for_a_database_that_cannot_be_written(
    serve: Serve, tmp_path: Path
) -> None:
    """It says why, ends meanwhile what is over, and becomes ready by itself."""
    async with serve(**UNHURRIED) as broker:
        session = await running(broker)
        orphan = await made(broker, a_label(broker))
        await ends_soon(broker, session["id"])
    async with built(broker.parts.settings, utcnow) as parts:
        daemon = Daemon(parts)

        async def is_without_its_machine() -> bool:
            alive = await parts.providers["simulator"].list_instances()
            return [orphan] == [one.id for one in alive]

        async with unwritable(parts, tmp_path):
            daemon.start()
            await eventually(is_without_its_machine)
            await eventually(lambda: has_said_why(daemon))
            assert not daemon.is_ready
        await eventually(lambda: is_ready(daemon))
        assert [] == daemon.troubles
        await daemon.stop()
