"""Pacing: spaced starts, bounded numbers, and a free lane for destructions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from datetime import timedelta

import pytest

from providers.errors import RateLimited, Unavailable
from providers.pacing import Lane, Pacer, settle_at

NEVER = timedelta(hours=1)
NONE = timedelta()


def paced(**lanes: Lane) -> Pacer:
    """A pacer with these lanes, and without limits in the others."""
    return Pacer({"other": Lane(), "destroy": Lane(), **lanes})


async def hold(pacer: Pacer, lane: str, started: list[int], n: int, end: asyncio.Event) -> None:
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
    pacer, started, end = paced(other=Lane(NONE, 2)), list[int](), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for n in range(5):
            group.create_task(hold(pacer, "other", started, n, end))
        await let_run()
        assert started == [0, 1]
        end.set()

    assert started == [0, 1, 2, 3, 4]


async def test_two_starts_are_apart_by_the_interval() -> None:
    """The second call does not start at once, although there is room for it."""
    pacer, started, end = (
        paced(other=Lane(timedelta(milliseconds=40), 10)),
        list[int](),
        asyncio.Event(),
    )
    clock = asyncio.get_running_loop().time
    begun = clock()
    async with asyncio.TaskGroup() as group:
        for n in range(3):
            group.create_task(hold(pacer, "other", started, n, end))
        await let_run()
        assert started == [0]
        end.set()

    assert clock() - begun >= 0.08


async def test_a_destruction_waits_for_no_other_call() -> None:
    """Everything else may be stuck: machines that cost money still go."""
    pacer, started, end = paced(other=Lane(NEVER, 1)), list[int](), asyncio.Event()
    waiting = [asyncio.create_task(hold(pacer, "other", started, n, end)) for n in range(50)]
    await let_run()

    async with asyncio.timeout(5), pacer.turn("destroy"):
        assert started == [0]

    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_call_that_fails_gives_its_place_back() -> None:
    """The next one starts."""
    pacer = paced(other=Lane(NONE, 1))
    for _ in range(3):
        with pytest.raises(LookupError):
            async with pacer.turn("other"):
                {}["nothing"]

    async with pacer.turn("other"):
        pass


async def test_a_destruction_has_an_interval_of_its_own() -> None:
    """Where the marketplace wants one."""
    pacer = paced(destroy=Lane(NEVER, 2))
    started, end = list[int](), asyncio.Event()
    tasks = [asyncio.create_task(hold(pacer, "destroy", started, n, end)) for n in range(2)]
    await let_run()

    assert started == [0]

    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_who_gives_up_takes_no_start_away() -> None:
    """Many may lose patience in front of a call: it starts as if they had never come."""
    pacer, started, end = (
        paced(other=Lane(timedelta(milliseconds=500), 9)),
        list[int](),
        asyncio.Event(),
    )
    end.set()
    await hold(pacer, "other", started, 0, end)
    waiting = [asyncio.create_task(hold(pacer, "other", started, n, end)) for n in range(1, 200)]
    await let_run()
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)

    async with asyncio.timeout(2):
        await hold(pacer, "other", started, 200, end)

    assert started == [0, 200]


async def test_a_call_without_patience_is_refused_before_it_waits() -> None:
    """It is told after how long it may come again."""
    pacer, started, end = paced(other=Lane(timedelta(minutes=1), 9)), list[int](), asyncio.Event()
    end.set()
    await hold(pacer, "other", started, 0, end)
    waiting = asyncio.create_task(hold(pacer, "other", started, 1, end))
    await let_run()

    with pytest.raises(RateLimited) as caught:
        async with pacer.turn("other", patience=timedelta(seconds=90)):
            pass

    assert caught.value.retry_after is not None
    assert timedelta(seconds=90) < caught.value.retry_after <= timedelta(minutes=2)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_a_postponed_lane_rests_and_the_others_do_not() -> None:
    """The marketplace asked for a pause in one of them."""
    pacer, started, end = paced(), list[int](), asyncio.Event()
    pacer.postpone("other", NEVER)
    waiting = asyncio.create_task(hold(pacer, "other", started, 0, end))
    await let_run()

    async with asyncio.timeout(5), pacer.turn("destroy"):
        assert started == []

    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


def refusing(*waits: float) -> tuple[list[float], Callable[[], Awaitable[str]]]:
    """A call that is refused as often as there are waits; and the waits that are left."""
    left = list(waits)

    async def call() -> str:
        if left:
            raise RateLimited("too soon", retry_after=timedelta(seconds=left.pop(0)))
        return "made"

    return left, call


async def test_a_call_that_came_too_early_is_made_again_after_the_wait() -> None:
    """Not sooner: the lane rests."""
    pacer = paced()
    _, call = refusing(0.03, 0.03)
    clock = asyncio.get_running_loop().time
    begun = clock()

    assert await pacer.insist("other", call, patience=timedelta(seconds=9), pace=1) == "made"
    assert clock() - begun >= 0.06


@pytest.mark.parametrize(
    ("waits", "patience", "unasked"),
    [
        ([0.0] * 9, timedelta(seconds=9), 6),
        ([20.0] * 9, timedelta(seconds=10), 8),
        ([61.0] * 9, timedelta(seconds=75), 8),
        ([3600.0] * 9, timedelta(seconds=75), 8),
    ],
    ids=["too often", "beyond patience", "too long for the lane", "far too long"],
)
async def test_patience_with_refusals_for_haste_has_an_end(
    waits: list[float], patience: timedelta, unasked: int
) -> None:
    """Then the last refusal is told, with its wait."""
    left, call = refusing(*waits)

    with pytest.raises(RateLimited, match="too soon") as caught:
        await paced().insist("other", call, patience=patience, pace=1)

    assert caught.value.retry_after == timedelta(seconds=waits[0])
    assert len(left) == unasked


async def test_no_other_failure_is_asked_again() -> None:
    """It may have had an effect."""
    asked: list[str] = []

    async def call() -> None:
        asked.append("once")
        raise Unavailable

    with pytest.raises(Unavailable):
        await paced().insist("other", call, patience=timedelta(seconds=9), pace=1)
    assert asked == ["once"]


@pytest.mark.parametrize(
    ("asked", "pace", "told", "rests"),
    [
        (timedelta(seconds=30), 1, timedelta(seconds=30), True),
        (timedelta(seconds=30), 0, timedelta(seconds=1), True),
        (timedelta(hours=1), 1, timedelta(hours=1), False),
        (timedelta(hours=1), 0, timedelta(seconds=1), True),
    ],
)
async def test_a_refusal_is_heeded_as_far_as_it_is_bearable(
    asked: timedelta, pace: float, told: timedelta, rests: bool
) -> None:
    """Whoever is told of a long rest decides; the lane goes on."""
    pacer = paced()

    refused = pacer.heed("other", RateLimited("too soon", retry_after=asked), pace=pace)

    assert (str(refused), refused.retry_after) == ("too soon", told)
    with pytest.raises(RateLimited) if rests else nullcontext():
        async with pacer.turn("other", patience=timedelta(milliseconds=500)):
            pass


@pytest.mark.parametrize(("pace", "seconds"), [(1, 20), (2, 40), (0.01, 1), (0, 1)])
def test_a_lost_machine_is_waited_for_at_the_pace_of_its_marketplace(
    pace: float, seconds: float
) -> None:
    """And for a moment at a test server, which has no pace at all."""
    assert settle_at(pace, timedelta(seconds=20)) == timedelta(seconds=seconds)
