"""Simulated time: it passes at once, waits for what is real, and the wall clock may be set."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from broker.model import Reason, Status
from tests.builders import NOW
from tests.service.store_examples import opened
from tests.simulated import NothingIsComing, SimulatedTime, simulated_broker


def test_time_passes_at_once(time: SimulatedTime) -> None:
    """A day of waiting takes no time, and both clocks tell of it."""
    begun_at = time.now()
    time.run(time.pass_by(hours=24))
    time.run(time.pass_by(hours=1))
    assert timedelta(hours=25) == time.now() - begun_at
    assert time.now() == time.true_now()


def test_setting_the_clock_passes_no_time(time: SimulatedTime) -> None:
    """Only the clock on the broker's wall is set."""
    time.jump(hours=-2)
    time.run(time.pass_by(minutes=1))
    assert NOW + timedelta(minutes=1, hours=-2) == time.now()
    assert NOW + timedelta(minutes=1) == time.true_now()


def test_the_clock_stands_while_a_thread_works(time: SimulatedTime) -> None:
    """What is due in a moment comes after what a thread is doing."""
    told = []

    async def work() -> None:
        await asyncio.to_thread(threading.Event().wait, 0.05)
        told.append("thread")

    async def wait() -> None:
        await time.pass_by(milliseconds=1)
        told.append("timer")

    async def story() -> None:
        await asyncio.gather(wait(), work())

    time.run(story())
    assert ["thread", "timer"] == told


def test_the_clock_stands_while_the_store_works(time: SimulatedTime, tmp_path: Path) -> None:
    """The threads that read and write the database are real work too."""

    async def story() -> None:
        async with opened(tmp_path) as store:
            begun_at = time.now()
            for n in range(20):
                await store.set_meta("key", f"{n}")
                assert f"{n}" == await store.meta("key")
            assert begun_at == time.now()

    with_a_timer = asyncio.wait_for(story(), timeout=3600)
    time.run(with_a_timer)


def test_waiting_for_what_never_comes_fails(time: SimulatedTime) -> None:
    """Without a timer and without work nothing can happen any more."""
    with pytest.raises(NothingIsComing):
        time.run(asyncio.Event().wait())


def test_a_whole_broker_lives_through_an_hour(time: SimulatedTime, tmp_path: Path) -> None:
    """Sessions come up, run to their end and leave nothing behind, all by the simulated clock."""

    async def story() -> None:
        async with simulated_broker(time, tmp_path) as broker:
            sessions = [await broker.running(consumer_id=f"c{n}") for n in range(4)]
            await time.pass_by(minutes=59)
            assert {Status.RUNNING} == {(await broker.session(s.id)).status for s in sessions}
            assert 4 == len(await broker.alive())
            await time.pass_by(minutes=2)
            ended = [await broker.session(session.id) for session in sessions]
            assert [(Status.STOPPED, Reason.EXPIRED)] * 4 == [(s.status, s.reason) for s in ended]
            assert [] == await broker.alive()

    time.run(story())


def test_what_a_machine_answers_is_the_market_s_word(time: SimulatedTime, tmp_path: Path) -> None:
    """Machines come up late, show other GPUs, refuse keys or never boot, as they are told to."""

    async def story() -> None:
        async with simulated_broker(time, tmp_path, ssh__verify_timeout="5m") as broker:
            broker.fault("key_late", "ssh", delay="2m")
            late = await broker.running(consumer_id="late")
            assert late.running_at is not None
            assert late.running_at - late.created_at >= timedelta(minutes=2)
            for fault, operation, reason in (
                ("wrong_gpu", "boot", Reason.WRONG_GPU),
                ("never_boots", "boot", Reason.BOOT_TIMEOUT),
                ("refused", "ssh", Reason.SSH_TIMEOUT),
            ):
                broker.fault(fault, operation)
                session = await broker.open(consumer_id=fault)
                session = await broker.until(session.id, Status.FAILED)
                assert reason == session.reason

    time.run(story())


def test_a_broker_that_starts_again_finds_its_machines(time: SimulatedTime, tmp_path: Path) -> None:
    """Time goes on where it was, and so do the sessions."""

    async def begin() -> str:
        async with simulated_broker(time, tmp_path) as broker:
            return (await broker.running()).id

    async def go_on(session_id: str) -> None:
        async with simulated_broker(time, tmp_path) as broker:
            assert Status.RUNNING == (await broker.session(session_id)).status
            await time.pass_by(hours=1)
            assert Status.STOPPED == (await broker.session(session_id)).status

    session_id = time.run(begin())
    time.run(time.pass_by(minutes=30))
    time.run(go_on(session_id))
