"""An event loop whose time passes only when nothing real is under way; a wall clock beside it."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import datetime, timedelta
from typing import Any, TypeVar

from aiosqlite import Connection

from tests.builders import NOW

T = TypeVar("T")

_PATIENCE = 1.0
"""Real seconds without any event, after which a loop that waits for nothing has failed."""


class NothingIsComing(AssertionError):
    """Nothing is under way, and nothing is planned: this would wait for ever."""


class SimulatedTime:
    """The time of a test. Use it as a context."""

    def __init__(self, start: datetime = NOW) -> None:
        self._start = start
        self._ahead = timedelta()
        self._loop: SimulatedLoop | None = None
        self._runner = asyncio.Runner(loop_factory=self._make_loop)
        self._stack = ExitStack()

    def run(self, story: Coroutine[Any, Any, T]) -> T:
        """What `story` returns, however long it takes in its own time."""
        return self._runner.run(story)

    def now(self) -> datetime:
        """What the broker's clock on the wall shows."""
        return self.true_now() + self._ahead

    def true_now(self) -> datetime:
        """What all other clocks show."""
        return self._start + timedelta(seconds=self._loop.time() if self._loop else 0.0)

    async def pass_by(self, **span: float) -> None:
        """Let time pass."""
        await asyncio.sleep(timedelta(**span).total_seconds())

    def jump(self, **span: float) -> None:
        """Set the broker's clock on the wall, forward or back. No time passes."""
        self._ahead += timedelta(**span)

    def __enter__(self) -> SimulatedTime:
        self._stack.enter_context(_counted_queries())
        self._stack.enter_context(self._runner)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _make_loop(self) -> SimulatedLoop:
        self._loop = SimulatedLoop()
        return self._loop


class SimulatedLoop(asyncio.SelectorEventLoop):
    """A loop that sleeps at once, but waits for threads as long as they take."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._under_way = 0
        self._pool = ThreadPoolExecutor(thread_name_prefix="simulated")
        super().__init__(_Selector(self))
        self.set_default_executor(self._pool)

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._seconds

    @property
    def is_at_work(self) -> bool:
        """Whether something real is under way."""
        return self._under_way > 0

    def skip(self, seconds: float) -> None:
        """Let the clock go on."""
        self._seconds += seconds

    @contextmanager
    def real_work(self) -> Iterator[None]:
        """Let the clock stand while the block waits for something real."""
        self._under_way += 1
        try:
            yield
        finally:
            self._end_work()

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """As every loop's, with the clock standing until the thread is done."""
        job = (executor or self._pool).submit(func, *args)
        self._under_way += 1
        answer = asyncio.wrap_future(job, loop=self)
        # After the answer, which is handed over in the same way.
        job.add_done_callback(lambda _: self.call_soon_threadsafe(self._end_work))
        return answer

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109
        """Wait for the threads, which nobody has to be told to."""
        with self.real_work():
            await super().shutdown_default_executor()

    def _end_work(self) -> None:
        self._under_way -= 1


class _Selector(selectors.DefaultSelector):
    """Waits only for what is real; where the loop would wait for a timer, it lets time pass."""

    def __init__(self, loop: SimulatedLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self._loop.is_at_work:
            return super().select(None if timeout is None or timeout > 0 else 0)
        events = super().select(0)
        if events or timeout == 0:
            return events
        if timeout is not None:
            self._loop.skip(timeout)
            return []
        events = super().select(_PATIENCE)
        if not events:
            raise NothingIsComing((NothingIsComing.__doc__ or "").strip())
        return events


@contextmanager
def _counted_queries() -> Iterator[None]:
    """aiosqlite has threads of its own: let the loop know of what they do."""
    kept = {name: getattr(Connection, name) for name in ("_connect", "_execute", "close")}
    for name, method in kept.items():
        setattr(Connection, name, _counted(method))
    try:
        yield
    finally:
        for name, method in kept.items():
            setattr(Connection, name, method)


def _counted(
    method: Callable[..., Coroutine[Any, Any, T]],
) -> Callable[..., Coroutine[Any, Any, T]]:
    async def counted(*args: Any, **options: Any) -> T:
        loop = asyncio.get_running_loop()
        with loop.real_work() if isinstance(loop, SimulatedLoop) else nullcontext():
            return await method(*args, **options)

    return counted
