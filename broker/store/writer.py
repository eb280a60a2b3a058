"""The one writer: whatever waits is committed together, and answered when it is durable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from broker.effects import Effect, effect
from broker.errors import StoreFailed, StoreUnwritable
from broker.store.connections import writing_engine
from broker.store.outage import Outage, Outages, is_of_the_disk, write_nothing

T = TypeVar("T")

Job: TypeAlias = Callable[[sa.Connection], T]
"""Writes something in the transaction that it is given, in the writer's own thread.

May run once or never, not twice.
"""

_JOBS_AT_ONCE = 250
"""Bounds how long the first of a batch waits for the last."""

_BETWEEN_TRIES = 1.0
"""Seconds after which a database that took nothing is tried again, if nobody writes."""

_CLOSED = "The database is closed."


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[T]):
    job: Job[T]
    answer: asyncio.Future[T]


_Verdict: TypeAlias = Callable[[asyncio.Future[Any]], None]
"""How a job came out; called with its caller's future when the batch is committed."""


class Writer:
    """Runs jobs one after the other, many in one transaction, each in its own savepoint."""

    def __init__(self, path: Path, now: Callable[[], datetime]) -> None:
        self._engine = writing_engine(path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store-writer")
        self._waiting: list[_Waiting[Any]] = []
        self._wake = asyncio.Event()
        self._is_closed = False
        self._outages = Outages(now)
        self._task = asyncio.create_task(self._work(), name="store-writer")

    async def run(self, name: Effect, job: Job[T]) -> T:
        """What the job returned, once that is committed; what it raised, with nothing written.

        Where the caller is cancelled, the job may be written nonetheless.
        Raises StoreUnwritable when the database takes nothing, else StoreFailed.
        """
        if self._is_closed:
            raise StoreFailed(_CLOSED)
        waiting = _Waiting(job, asyncio.get_running_loop().create_future())
        with effect(name):
            self._waiting.append(waiting)
            self._wake.set()
            answer: T = await waiting.answer
        return answer

    @property
    def outage(self) -> Outage | None:
        """Since when nothing can be written; None while it can."""
        return self._outages.present

    async def close(self) -> None:
        """Write what is waiting, then let go of the database."""
        self._is_closed = True
        self._wake.set()
        await self._task
        await self._in_thread(self._engine.dispose)
        self._thread.shutdown()

    async def _work(self) -> None:
        try:
            while await self._has_work():
                batch, self._waiting = self._waiting[:_JOBS_AT_ONCE], self._waiting[_JOBS_AT_ONCE:]
                await self._commit([one for one in batch if not one.answer.cancelled()])
        finally:
            self._is_closed = True
            _fail(self._waiting, StoreFailed(_CLOSED))

    async def _has_work(self) -> bool:
        """Wait for work; False when there will be none any more.

        While nothing can be written, it is work to try that.
        """
        while not self._waiting and not self._is_closed:
            self._wake.clear()
            try:
                async with asyncio.timeout(_BETWEEN_TRIES if self.outage else None):
                    await self._wake.wait()
            except TimeoutError:
                return True
        return bool(self._waiting)

    async def _commit(self, batch: Sequence[_Waiting[Any]]) -> None:
        try:
            verdicts = await self._in_thread(partial(self._run_all, [one.job for one in batch]))
        except SQLAlchemyError as error:
            _fail(batch, self._outages.fail(error))
        except BaseException as error:
            _fail(batch, error)
            # The writer outlives whatever a batch meets, but not its own cancellation.
            if not isinstance(error, Exception):
                raise
        else:
            # While nothing can be written every batch tries it, were it otherwise an empty one.
            self._outages.end()
            for one, verdict in zip(batch, verdicts, strict=True):
                verdict(one.answer)

    def _run_all(self, jobs: Sequence[Job[Any]]) -> list[_Verdict]:
        """In the thread: every job of a batch, and the commit."""
        is_tried = self.outage is not None
        with self._engine.begin() as connection:
            if is_tried:
                write_nothing(connection)
            return [_run(connection, job) for job in jobs]

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _run(connection: sa.Connection, job: Job[Any]) -> _Verdict:
    connection.exec_driver_sql("SAVEPOINT job")
    try:
        value = job(connection)
    except Exception as error:
        if is_of_the_disk(error):
            raise
        # It belongs to the caller of this job alone. Where the error has ended the transaction,
        # this fails, and with it the batch.
        connection.exec_driver_sql("ROLLBACK TO job")
        connection.exec_driver_sql("RELEASE job")
        return partial(_refuse, error=error)
    connection.exec_driver_sql("RELEASE job")
    return partial(_accept, value=value)


def _accept(answer: asyncio.Future[Any], value: Any) -> None:
    if not answer.done():
        answer.set_result(value)


def _refuse(answer: asyncio.Future[Any], error: Exception) -> None:
    if answer.done():
        return
    if isinstance(error, SQLAlchemyError):
        failed = StoreFailed()
        failed.__cause__ = error
        answer.set_exception(failed)
    else:
        answer.set_exception(error)


def _fail(batch: Iterable[_Waiting[Any]], cause: BaseException) -> None:
    for one in batch:
        failed = type(cause)(str(cause)) if isinstance(cause, StoreUnwritable) else StoreFailed()
        failed.__cause__ = cause
        _refuse(one.answer, failed)
