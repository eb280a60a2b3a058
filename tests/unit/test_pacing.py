"""Pacing: spaced starts, bounded numbers, and a free lane for destructions."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from providers.pacing import Lane, Pacer

NEVER = timedelta(hours=1)
NONE = timedelta()


async def hold(pacer: Pacer, lane: Lane, started: list[int], n: int, end: asyncio.Event) -> None:
    """A call that says when it starts and lasts until `end`."""
    async with pacer.turn(lane):
        started.append(n)
        await end.wait()


async def let_run() -> None:
    """Give every task that can go on the chance to."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_no_more_calls_run_at_once_than_allowed() -> None:
    """The others wait, and start in their order."""
    pacer, started, end = Pacer(NONE, 2), list[int](), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for n in range(5):
            group.create_task(hold(pacer, Lane.OTHER, started, n, end))
        await let_run()
        assert started == [0, 1]
        end.set()

    assert started == [0, 1, 2, 3, 4]


async def test_two_starts_are_apart_by_the_interval() -> None:
    """The second call does not start at once, although there is room for it."""
    pacer, started, end = Pacer(timedelta(milliseconds=40), 10), list[int](), asyncio.Event()
    clock = asyncio.get_running_loop().time
    begun = clock()
    async with asyncio.TaskGroup() as group:
        for n in range(3):
            group.create_task(hold(pacer, Lane.OTHER, started, n, end))
        await let_run()
        assert started == [0]
        end.set()

    assert clock() - begun >= 0.08


async def test_a_destruction_waits_for_no_other_call() -> None:
    """Everything else may be stuck: machines that cost money still go."""
    pacer, started, end = Pacer(NEVER, 1), list[int](), asyncio.Event()
    waiting = [asyncio.create_task(hold(pacer, Lane.OTHER, started, n, end)) for n in range(50)]
    await let_run()

    async with asyncio.timeout(5), pacer.turn(Lane.DESTROY):
        assert started == [0]

    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_call_that_fails_gives_its_place_back() -> None:
    """The next one starts."""
    pacer = Pacer(NONE, 1)
    for _ in range(3):
        with pytest.raises(LookupError):
            async with pacer.turn(Lane.OTHER):
                {}["nothing"]

    async with pacer.turn(Lane.OTHER):
        pass


async def test_a_destruction_has_an_interval_of_its_own() -> None:
    """Where the marketplace wants one."""
    pacer = Pacer(NONE, 1, destroy_interval=NEVER, destroy_concurrency=2)
    started, end = list[int](), asyncio.Event()
    tasks = [asyncio.create_task(hold(pacer, Lane.DESTROY, started, n, end)) for n in range(2)]
    await let_run()

    assert started == [0]

    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
