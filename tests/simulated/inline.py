"""Simulated time in which nothing runs beside the loop: the same story always goes the same way."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any, TypeVar

from aiosqlite import Connection
from aiosqlite.core import _STOP_RUNNING_SENTINEL

from tests.simulated.time import SimulatedLoop, SimulatedTime

T = TypeVar("T")

_MOST_TURNS = 3
"""Turns of the loop that others get before the answer of a thread is there."""


class InlineTime(SimulatedTime):
    """Simulated time without threads. How tasks meet is left to chance, which is that of `seed`."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self._seed = seed

    def __enter__(self) -> InlineTime:
        super().__enter__()
        self._stack.enter_context(_inline_queries())
        return self

    def _make_loop(self) -> SimulatedLoop:
        self._loop = InlineLoop(random.Random(self._seed))
        return self._loop


class InlineLoop(SimulatedLoop):
    """A loop that does itself what it would leave to threads."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance

    def run_in_executor(  # type: ignore[override]
        self,
        executor: Executor | None,  # noqa: ARG002
        func: Callable[..., T],
        *args: Any,
    ) -> asyncio.Future[T]:
        """As every loop's, at once; the answer comes a little later."""
        answer: asyncio.Future[T] = self.create_future()
        self.do(answer, lambda: func(*args))
        return answer

    def do(self, answer: asyncio.Future[T] | None, work: Callable[[], T]) -> T | None:
        """What `work` returns, which whoever waits for `answer` is told a little later."""
        result, error = None, None
        try:
            result = work()
        except BaseException as raised:  # noqa: BLE001 - it belongs to whoever waits
            error = raised
        if answer is not None:
            self._tell(answer, result, error, self._chance.randrange(_MOST_TURNS))
        return result

    def _tell(
        self, answer: asyncio.Future[Any], result: object, error: BaseException | None, turns: int
    ) -> None:
        if turns > 0:
            self.call_soon(self._tell, answer, result, error, turns - 1)
        elif not answer.done():
            if error is None:
                answer.set_result(result)
            else:
                answer.set_exception(error)


class _InlineQueue:
    """Where a connection of aiosqlite puts what its thread has to do: done here instead."""

    def __init__(self, loop: InlineLoop, thread: Any) -> None:
        self._loop = loop
        self._thread = thread

    def put_nowait(self, job: tuple[asyncio.Future[Any] | None, Callable[[], Any]]) -> None:
        """Do it."""
        if self._loop.do(*job) is _STOP_RUNNING_SENTINEL:
            self._thread.put_nowait((None, lambda: _STOP_RUNNING_SENTINEL))


@contextmanager
def _inline_queries() -> Iterator[None]:
    """aiosqlite has threads of its own: let them wait for their end."""
    usual: Callable[[Connection], Coroutine[Any, Any, Connection]] = Connection._connect

    async def connect(connection: Connection) -> Connection:
        loop = asyncio.get_running_loop()
        if isinstance(loop, InlineLoop) and not isinstance(connection._tx, _InlineQueue):
            connection._tx = _InlineQueue(loop, connection._tx)  # type: ignore[assignment]
        return await usual(connection)

    Connection._connect = connect  # type: ignore[method-assign]
    try:
        yield
    finally:
        Connection._connect = usual  # type: ignore[method-assign]
