"""The world in which brokers live and die: time, a marketplace, consumers, and what they did."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from broker.effects import watch_effects
from broker.errors import BrokerError
from broker.model import Confidential, Session
from broker.usecases.idempotency import UNKEYED, Keyed
from broker.usecases.opened import Opened
from tests.builders import a_request
from tests.lifecycle.answers import Answers
from tests.lifecycle.market import OFFERS, AccountOwner, LyingMarket, Whims
from tests.simulated import Simulated, SimulatedTime, simulated_broker
from tests.simulated.dooms import Died, Doom

T = TypeVar("T")

CHECK, RECONCILIATION = timedelta(seconds=30), timedelta(minutes=1)
GRACE, LOST_AFTER = timedelta(minutes=5), timedelta(minutes=1)
VERIFY_TIMEOUT = timedelta(minutes=3)
LONGEST_DELAY = timedelta(seconds=20)
"""Of a misfortune."""

_SETTINGS = {
    "lifecycle__check_interval": "30s",
    "lifecycle__reconciliation_interval": "1m",
    "lifecycle__orphan_grace_period": "5m",
    "lifecycle__lost_after": "1m",
    "lifecycle__hard_max_hours": "0.5",
    "ssh__verify_timeout": "3m",
    "providers__simulator__offers": OFFERS,
}


@dataclass
class Deeds:
    """What was done, for the laws to judge by."""

    asked_to_end: set[str] = field(default_factory=set)
    """Sessions whose consumers asked for the end, whatever became of the asking."""
    leases: dict[str, tuple[timedelta, timedelta]] = field(default_factory=dict)
    """Session -> the shortest and the longest reservation that its consumer may have."""
    by_hand: dict[int, datetime] = field(default_factory=dict)
    """Machines that somebody else destroyed."""
    planted: set[int] = field(default_factory=set)
    """Machines that somebody else rented."""
    jumped: timedelta = timedelta()
    """How far the wall clock was set, in all."""
    disturbed: list[tuple[datetime, datetime]] = field(default_factory=list)
    """When something was wrong, or its consequences could last."""
    orphans: dict[str, datetime] = field(default_factory=dict)
    """Machine -> when a broker last called it an orphan, by its clock."""
    accidents: list[str] = field(default_factory=list)
    """What brokers called unforeseen while they lived."""

    def calm_before(self, instant: datetime) -> datetime | None:
        """Since when all had been well then; None where it had not."""
        ends = [end for begin, end in self.disturbed if begin <= instant]
        since = max(ends, default=datetime.min.replace(tzinfo=UTC))
        return since if since <= instant else None

    def is_disturbed(self, begins_at: datetime, ends_at: datetime) -> bool:
        """Whether anything was wrong in that stretch of time."""
        return any(begin <= ends_at and begins_at <= end for begin, end in self.disturbed)


class World:
    """One account, one folder, and one broker after the other. Everything by true time."""

    def __init__(self, time: SimulatedTime, folder: Path, *, drift: str, **whims: Any) -> None:
        self.time = time
        self.folder = folder
        self.answers = Answers(ahead=[(time.true_now(), timedelta())])
        self.whims = Whims(time, answers=self.answers, **whims)
        self.deeds = Deeds()
        self.account = AccountOwner(folder, time.true_now)
        self.calm_since = time.true_now()
        self.broker: Simulated | None = None
        self.requests: list[asyncio.Task[object]] = []
        self._settings = _SETTINGS | {"providers__simulator__drift": drift}
        self._doom: Doom | None = None
        self._watching = contextlib.ExitStack()
        self._life: asyncio.Task[None] | None = None
        self._listener = _Listener(self)
        self._began_at = time.true_now()
        self._was_calm = True
        self._heard = 0
        logging.getLogger("broker").addHandler(self._listener)

    @property
    def now(self) -> datetime:
        return self.time.true_now()

    @property
    def doom(self) -> Doom:
        assert self._doom is not None
        return self._doom

    @property
    def is_dead(self) -> bool:
        return self._doom is not None and self._doom.is_dead

    async def begin(self) -> None:
        """Start a broker, again and again until one is ready."""
        if self._doom is None:
            self._doom = Doom()
            self._watching.enter_context(watch_effects(self._doom.watch))
        while self.broker is None:
            ready = asyncio.Event()
            self._life = asyncio.create_task(self._live(ready))
            await self._race(ready.wait(), self._life)
            if self.is_dead:
                await self.bury()
            elif self._life.done():
                await self._life

    async def _live(self, ready: asyncio.Event) -> None:
        def market_of(usual: Any) -> LyingMarket:
            return LyingMarket.like(usual, self.whims)

        async with simulated_broker(self.time, self.folder, market_of, **self._settings) as broker:
            self.broker = broker
            ready.set()
            await asyncio.get_running_loop().create_future()

    async def bury(self) -> None:
        """Take away what is left of a broker that is dead or has to stop."""
        assert self._life is not None
        for task in (*self.requests, self._life):
            task.cancel()
        with contextlib.suppress(Died):
            await asyncio.gather(*self.requests, self._life, return_exceptions=True)
        self.broker = self._life = None
        self.requests.clear()
        # Whoever comes next has not heard the truth before.
        self.whims.denials = 0
        self.doom.revive()

    async def ensure(self, downtime: timedelta) -> None:
        """Where the broker has died, start another one after a while."""
        while self.is_dead:
            self.disturb()
            await self.bury()
            await self.time.pass_by(seconds=downtime.total_seconds())
            await self.begin()

    async def stop(self) -> None:
        """As at SIGTERM."""
        await self.bury()

    def jump(self, span: timedelta) -> None:
        """Somebody sets the clock."""
        self.time.jump(seconds=span.total_seconds())
        self.deeds.jumped += abs(span)
        self.answers.ahead.append((self.now, self.time.now() - self.now))

    def disturb(self) -> None:
        """Something has been wrong in this step."""
        self._was_calm = False

    def step_begins(self) -> None:
        """What goes wrong from now on may do harm until the end of the step."""
        self._began_at = self.now
        self._was_calm = True
        self.whims.faults.have_struck = False

    def step_ends(self) -> None:
        if not self._was_calm or self.whims.faults.have_struck:
            self.calm_since = self.now
            self.deeds.disturbed.append((self._began_at, self.now + LONGEST_DELAY))

    async def hear(self) -> None:
        """Take note of what was called an orphan."""
        assert self.broker is not None
        for event in await self.broker.parts.tools.store.events(after=self._heard):
            self._heard = event.id or self._heard
            if event.type == "orphan.detected":
                self.deeds.orphans[event.data["instance_id"]] = event.created_at

    async def pass_by(self, span: timedelta) -> None:
        """Let time pass, or until the broker is dead."""
        await self._race(self._passing(span))

    async def ask(self, request: Coroutine[Any, Any, object], patience: timedelta | None) -> None:
        """Let a consumer ask for something, and wait for the answer at most so long."""
        task = asyncio.create_task(_heard(request))
        self.requests.append(task)
        await self._race(task, *([] if patience is None else [self._passing(patience)]))
        for one in [one for one in self.requests if one.done()]:
            self.requests.remove(one)
            if not one.cancelled() and (error := one.exception()) and not self.is_dead:
                raise error

    async def open(self, key: str | None = None, **request: Any) -> None:
        """A consumer rents a machine."""
        assert self.broker is not None
        parts = self.broker.parts
        asked = a_request(**request)
        keyed = None if key is None else Keyed(key, repr(sorted(request.items())).encode())
        async with parts.idempotency.turn(keyed) as turn:
            opened: Opened = await parts.opening.open(
                asked, Confidential(), public_key=None, disk_gb=None, turn=turn or UNKEYED
            )
        self.deeds.leases.setdefault(
            opened.overview.session.id, (asked.reservation, asked.reservation)
        )

    async def extend(self, session: Session, by: timedelta) -> None:
        """A consumer extends a lease; only an answer tells what came of it."""
        assert self.broker is not None
        short, long = self.lease_of(session)
        self.deeds.leases[session.id] = short, long + by
        try:
            await self.broker.parts.sessions.extend(session.id, by, "additional_minutes", UNKEYED)
        except BrokerError:
            short, long = self.deeds.leases[session.id]
            self.deeds.leases[session.id] = short, long - by
            raise
        short, long = self.deeds.leases[session.id]
        self.deeds.leases[session.id] = short + by, long

    def lease_of(self, session: Session) -> tuple[timedelta, timedelta]:
        asked = session.request.reservation
        return self.deeds.leases.setdefault(session.id, (asked, asked))

    async def done(self, session: Session) -> None:
        assert self.broker is not None
        self.deeds.asked_to_end.add(session.id)
        await self.broker.parts.sessions.done(session.id)

    async def delete(self, session: Session) -> None:
        assert self.broker is not None
        self.deeds.asked_to_end.add(session.id)
        await self.broker.parts.sessions.delete(session.id)

    def close(self) -> None:
        """Nothing is left."""
        logging.getLogger("broker").removeHandler(self._listener)
        self._watching.close()
        self.account.close()

    async def _passing(self, span: timedelta) -> None:
        await self.time.pass_by(seconds=span.total_seconds())

    async def _race(self, *runners: Any) -> None:
        """Until one of them is done, or the broker is dead. What is no task is then ended."""
        died = asyncio.create_task(self.doom.died.wait())
        tasks = [asyncio.ensure_future(one) for one in runners]
        own = [died, *(task for task, one in zip(tasks, runners, strict=True) if task is not one)]
        await asyncio.wait({died, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        for task in own:
            task.cancel()
        await asyncio.gather(*own, return_exceptions=True)


async def _heard(request: Coroutine[Any, Any, object]) -> None:
    """The request, whatever the answer says, as long as it is one of those that users get."""
    with contextlib.suppress(BrokerError, Died):
        await request


class _Listener(logging.Handler):
    """Hears what a broker that is alive calls unforeseen."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.ERROR)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not self._world.is_dead and not isinstance(error, Died):
            self._world.deeds.accidents.append(f"{record.getMessage()}: {error!r}")
