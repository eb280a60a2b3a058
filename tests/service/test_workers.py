"""Who works on a session: one worker, whoever calls for it and how often."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from broker.clock import utcnow
from broker.decide.steps import Step
from broker.model import Attempt, Session
from broker.store import Store
from broker.usecases.workers import Effort, Workers
from tests.service.store_examples import add, session
from tests.waiting import eventually


@pytest.mark.parametrize("call", [Workers.ensure, Workers.wake], ids=["ensure", "wake"])
async def test_never_do_two_work_on_one_session(
    store: Store, call: Callable[[Workers, str], None]
) -> None:
    """Who calls while somebody works is heard afterwards; other sessions do not wait for it."""
    first, second = await add(store, session(1)), await add(store, session(2))
    at_work: list[str] = []
    most = 0
    turns = {first.id: 0, second.id: 0}
    go_on = asyncio.Event()

    async def act(one: Session, _: Attempt, __: Effort) -> timedelta:
        nonlocal most
        at_work.append(one.id)
        most = max(most, at_work.count(one.id))
        turns[one.id] += 1
        await go_on.wait()
        at_work.remove(one.id)
        return timedelta(hours=1)

    workers = Workers(store, dict.fromkeys(Step, act), now=utcnow)

    async def are_at_work() -> bool:
        return sorted(at_work) == [first.id, second.id]

    async def have_had_another_turn() -> bool:
        return min(turns.values()) >= 2

    try:
        for _ in range(50):
            call(workers, first.id)
            call(workers, second.id)
            await asyncio.sleep(0)
        await eventually(are_at_work)
        assert 2 == len(workers)
        go_on.set()
        workers.wake(first.id)
        workers.wake(second.id)
        await eventually(have_had_another_turn)
        assert 1 == most
    finally:
        await workers.close()
