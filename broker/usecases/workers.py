"""One worker per session that is on its way up or down; never two.

A worker reads the session, asks `decide.steps` what comes next, does it, and begins
again, until nothing is left to do. What it waits for, it waits for here, so that a
consumer's word interrupts the waiting.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from broker.decide.steps import Step, next_step, next_step_unwritten
from broker.errors import BrokerError, StaleWrite, StoreUnwritable
from broker.model import Attempt, Session
from broker.store import Store

log = logging.getLogger(__name__)

_AFTER_AN_ACCIDENT = timedelta(seconds=5)
"""Pause before a worker that met something unforeseen tries again."""

_INTERRUPTIBLE = frozenset({Step.VERIFY, Step.RESOLVE})
"""Steps that a consumer's word may break off: they read and prove, and lose nothing."""


@dataclass(slots=True)
class Effort:
    """How often the present step was tried in a row; each step's pauses grow with it."""

    step: Step | None = None
    tries: int = 0

    def count(self, step: Step) -> None:
        self.tries = self.tries + 1 if step is self.step else 1
        self.step = step


Act = Callable[[Session, Attempt, Effort], Awaitable[timedelta | None]]
"""Does one step. Returns the pause before the session is looked at again; None is no pause."""


@dataclass(slots=True)
class _Worker:
    task: asyncio.Task[None] | None = None
    bell: asyncio.Event = field(default_factory=asyncio.Event)
    is_asked_again: bool = False


class Workers:
    """The workers of all sessions."""

    def __init__(
        self,
        store: Store,
        actions: Mapping[Step, Act],
        *,
        now: Callable[[], datetime],
        has_failed: Callable[[Attempt], bool] = lambda _: False,
    ) -> None:
        """`has_failed` tells of attempts what could not be written of them."""
        self._store = store
        self._now = now
        self._actions = actions
        self._has_failed = has_failed
        self._workers: dict[str, _Worker] = {}
        self._is_closing = False

    def __len__(self) -> int:
        return len(self._workers)

    def ensure(self, session_id: str) -> None:
        """See that somebody works on the session; leave one who does in peace."""
        if self._is_closing:
            return
        worker = self._workers.get(session_id)
        if worker is None:
            worker = self._workers[session_id] = _Worker()
            worker.task = asyncio.create_task(
                self._work(session_id, worker), name=f"worker-{session_id}"
            )
        else:
            worker.is_asked_again = True

    def wake(self, session_id: str) -> None:
        """The intent has changed: look at the session now, break off what can be broken off."""
        self.ensure(session_id)
        if (worker := self._workers.get(session_id)) is not None:
            worker.bell.set()

    async def until_idle(self, patience: timedelta) -> None:
        """Wait until nobody works any more, or `patience` is over."""
        tasks = {worker.task for worker in self._workers.values() if worker.task is not None}
        if tasks:
            await asyncio.wait(tasks, timeout=patience.total_seconds())

    async def close(self) -> None:
        """Stop all work where it stands; the store knows how to go on."""
        self._is_closing = True
        tasks = [worker.task for worker in self._workers.values() if worker.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, session_id: str, worker: _Worker) -> None:
        effort = Effort()
        try:
            while True:
                worker.is_asked_again = False
                worker.bell.clear()
                has_more = await self._advance(session_id, worker, effort)
                if not has_more and not worker.is_asked_again:
                    return
        finally:
            del self._workers[session_id]

    async def _advance(self, session_id: str, worker: _Worker, effort: Effort) -> bool:
        try:
            pause = await self._step(session_id, worker, effort)
        except StaleWrite:
            return True
        except _Finished:
            return False
        except StoreUnwritable:
            # The writer tells of it, once for all who wait.
            pause = _AFTER_AN_ACCIDENT
        except BrokerError as error:
            log.warning("The work stands still for a moment: %s", error, extra=_about(session_id))
            pause = _AFTER_AN_ACCIDENT
        except Exception:
            log.exception("The work met something unforeseen.", extra=_about(session_id))
            pause = _AFTER_AN_ACCIDENT
        if pause is not None:
            await _wait(worker.bell, pause)
        return True

    async def _step(self, session_id: str, worker: _Worker, effort: Effort) -> timedelta | None:
        current = await self._store.current(session_id)
        if current is None:
            raise _Finished
        session, attempt = current
        if self._store.outage is None:
            step = next_step(session, attempt)
        else:
            step = next_step_unwritten(
                session, attempt, self._now(), has_failed=self._has_failed(attempt)
            )
        if step is Step.REST:
            raise _Finished
        effort.count(step)
        act = self._actions[step](session, attempt, effort)
        return await (_until_rung(worker.bell, act) if step in _INTERRUPTIBLE else act)


class _Finished(Exception):
    """Nothing is left to do."""


async def _wait(bell: asyncio.Event, pause: timedelta) -> None:
    try:
        async with asyncio.timeout(pause.total_seconds()):
            await bell.wait()
    except TimeoutError:
        return


async def _until_rung(bell: asyncio.Event, act: Awaitable[timedelta | None]) -> timedelta | None:
    """The result of `act`, or None as soon as the bell rings, with `act` broken off."""
    acting = asyncio.ensure_future(act)
    ringing = asyncio.create_task(bell.wait())
    try:
        await asyncio.wait({acting, ringing}, return_when=asyncio.FIRST_COMPLETED)
        return await acting if acting.done() else None
    finally:
        for task in (acting, ringing):
            task.cancel()
        await asyncio.gather(acting, ringing, return_exceptions=True)


def _about(session_id: str) -> dict[str, str]:
    return {"session_id": session_id}
