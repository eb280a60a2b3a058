"""Everything that happens by itself: the timers call, they do not decide.

When something is due is told by the event loop, whose clock never jumps as the wall clock
may. The scheduler runs it: each job one at a time, its errors told.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from apscheduler.events import EVENT_JOB_ERROR, JobExecutionEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from broker.app.build import Parts
from broker.decide.confidence import REMEMBERED
from broker.decide.jumps import Jump
from broker.decide.lease import due_at
from broker.errors import StoreUnwritable
from broker.model import Change, Event, Session, Wanted

log = logging.getLogger(__name__)
logging.getLogger("apscheduler").setLevel(logging.CRITICAL)  # `_tell_of_error` tells

Job = Callable[[], Awaitable[object]]

_DUE, _GLANCE, _JUMPED = "due", "glance", "clock-jumped"
_PATIENCE = 2.0
"""Seconds that jobs under way get at a stop."""
_SHORTEST_LOOK, _LONGEST_LOOK = timedelta(milliseconds=100), timedelta(seconds=5)
"""How often it is asked whether a provider's offers have to be read again."""

_LONGEST_BETWEEN_BALANCES = timedelta(minutes=1)

_BETWEEN_GLANCES = timedelta(seconds=1)
"""How soon a jump of the wall clock is noticed where nobody else reads it."""

_BETWEEN_TIDYINGS = timedelta(hours=1)

_BETWEEN_REAPS = timedelta(seconds=1)
_REAPS_AT_ONCE = 10

_STANDSTILL = timedelta(seconds=30)
"""A sweep that did not end for this long, beyond three intervals, is trouble."""


class Timers:
    """The timers of a serving broker."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._scheduler = AsyncIOScheduler(
            timezone=UTC,
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._scheduler.add_listener(_tell_of_error, EVENT_JOB_ERROR)
        self._running: set[asyncio.Future[object]] = set()
        self._waiting: dict[str, asyncio.TimerHandle] = {}
        """Job -> its next time."""
        self._armed_for: datetime | None = None
        self._swept_at = 0.0

    def start(self) -> None:
        """Begin, and be told of every change of a lease."""
        lifecycle = self._parts.settings.lifecycle
        self._every(lifecycle.check_interval, "sweep", self._sweep)
        self._every(lifecycle.check_interval, "idle", self._watch_idleness)
        self._every(lifecycle.check_interval, "watchdogs", self._parts.watchdogs.ensure)
        for provider in self._parts.tools.doors:
            self._every(
                lifecycle.reconciliation_interval,
                f"reconcile-{provider}",
                partial(self._parts.sweeper.sweep, (provider,)),
            )
        self._read_markets()
        self._every(_BETWEEN_TIDYINGS, "tidy", self._tidy)
        # A broker that is started more often than that would never come to it.
        self._scheduler.add_job(self._run, args=[self._tidy], id="first-tidy", name="first-tidy")
        self._parts.tools.journal.listen(self)
        self._parts.clock.listen(self)
        self._glance()
        self._scheduler.start()
        self._swept_at = _monotonic()
        self._begin(_DUE, self._reap, at_once=_REAPS_AT_ONCE)

    def _read_markets(self) -> None:
        """Each by a timer of its own: a market that is slow holds up no other."""
        tools = self._parts.tools
        fresh_for = self._parts.settings.inventory.cache_ttl
        look = max(min(fresh_for / 4, _LONGEST_LOOK), _SHORTEST_LOOK)
        for provider in tools.doors:
            self._every(look, f"offers-{provider}", partial(tools.inventory.refresh_due, provider))
        balance = max(min(fresh_for, _LONGEST_BETWEEN_BALANCES), _SHORTEST_LOOK)
        for provider in tools.funds.providers:
            self._every(balance, f"balance-{provider}", partial(tools.funds.refresh, provider))

    async def stop(self) -> None:
        """No timer fires any more; what has begun may end."""
        if not self._scheduler.running:
            return
        self._scheduler.pause()
        for waiting in self._waiting.values():
            waiting.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=_PATIENCE)
        self._scheduler.shutdown(wait=False)

    @property
    def is_standing_still(self) -> bool:
        """Whether the sweeper has stopped sweeping."""
        longest = self._parts.settings.lifecycle.check_interval * 3 + _STANDSTILL
        return _monotonic() - self._swept_at > longest.total_seconds()

    def session_changed(self, _: Change, session: Session) -> None:
        """Arm the alarm where a lease ends earlier than it would ring."""
        if session.wanted is Wanted.RUNNING:
            self._arm(due_at(session))

    def clock_jumped(self, jump: Jump, now: datetime) -> None:
        """A clock tells of every jump: the next end comes sooner or later than was thought."""
        log.warning("The wall clock has jumped by %+.1f s.", jump.by.total_seconds())
        self._armed_for = None
        self._begin(_JUMPED, partial(self._after_jump, jump, now), at_once=_REAPS_AT_ONCE)

    async def _after_jump(self, jump: Jump, now: datetime) -> None:
        await self._reap()
        await self._parts.tools.journal.follow_clock()
        seconds = {"by_seconds": jump.by, "set_by_seconds": jump.set_by}
        data = {name: round(span.total_seconds(), 3) for name, span in seconds.items()}
        await self._parts.tools.store.add_event(Event("clock.jumped", now, data=data))

    def _glance(self) -> None:
        """Whoever reads the clock notices its jumps; here somebody does, if nobody else."""
        self._wait(_BETWEEN_GLANCES, _GLANCE, self._glance)
        self._parts.clock.now()

    def _every(self, interval: timedelta, name: str, job: Job) -> None:
        def again() -> None:
            self._every(interval, name, job)
            self._begin(name, job)

        self._wait(interval, name, again)

    def _wait(self, span: timedelta, name: str, act: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self._waiting[name] = loop.call_later(span.total_seconds(), act)

    def _begin(self, name: str, job: Job, at_once: int = 1) -> None:
        """Run `job` now, unless it is still at work: so many times `at_once`."""
        self._scheduler.add_job(
            self._run,
            args=[job],
            id=name,
            name=name,
            max_instances=at_once,
            replace_existing=True,
        )

    async def _run(self, job: Job) -> None:
        task = asyncio.ensure_future(job())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        await task

    async def _sweep(self) -> None:
        await self._parts.sweeper.sweep()
        self._swept_at = _monotonic()

    async def _watch_idleness(self) -> None:
        await self._parts.idle.probe(await self._parts.tools.store.watched_for_idleness())

    async def _tidy(self) -> None:
        """Let the database forget what has no meaning any more."""
        tools = self._parts.tools
        await self._parts.idempotency.prune()
        await tools.store.prune_failures(tools.now() - REMEMBERED)

    def _ring(self) -> None:
        """A lease is over. Nothing is lost by a reap beside another, and much by one less."""
        self._armed_for = None
        self._begin(_DUE, self._reap, at_once=_REAPS_AT_ONCE)

    async def _reap(self) -> None:
        """Whatever goes wrong, another one comes soon."""
        try:
            await self._parts.sweeper.reap()
            await self._arm_next()
        except Exception:
            self._arm(self._parts.tools.now() + _BETWEEN_REAPS)
            raise

    async def _arm_next(self) -> None:
        """What is over already was just reaped, without success: it is tried again soon."""
        now = self._parts.tools.now()
        due = await self._parts.tools.store.next_due(now)
        if due is not None:
            self._arm(due if due > now else now + _BETWEEN_REAPS)

    def _arm(self, instant: datetime) -> None:
        if self._armed_for is not None and self._armed_for <= instant:
            return
        if _DUE in self._waiting:
            self._waiting[_DUE].cancel()
        self._armed_for = instant
        self._wait(max(instant - self._parts.tools.now(), timedelta()), _DUE, self._ring)


def _monotonic() -> float:
    return asyncio.get_running_loop().time()


def _tell_of_error(event: JobExecutionEvent) -> None:
    if isinstance(event.exception, asyncio.CancelledError | StoreUnwritable):
        return  # Of a database that takes nothing the writer tells, once for all.
    log.error("The timer %s met something unforeseen.", event.job_id, exc_info=event.exception)
