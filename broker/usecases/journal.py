"""Every write about a session goes through here: committed first, then told to whoever waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Protocol

from broker.decide.jumps import Jump
from broker.errors import NotFound, StaleWrite
from broker.model import Attempt, Change, Confidential, Overview, Session
from broker.store import Store
from broker.usecases.single_flight import SingleFlight

Decision = Callable[[Session, Attempt], Change | None]
"""From a session and its current attempt as they are now to what is to be written."""


class ChangeListener(Protocol):
    """Is told of every change, after its commit."""

    def session_changed(self, change: Change, session: Session) -> None: ...


class MeterListener(Protocol):
    """Is told how far all meters of live sessions were moved, after the commit."""

    def meters_moved(self, by: timedelta) -> None: ...


class Watching:
    """The changes of one session, from the moment the watching began."""

    def __init__(self) -> None:
        self._changes: asyncio.Queue[Change] = asyncio.Queue()

    def tell(self, change: Change) -> None:
        self._changes.put_nowait(change)

    async def until(self, is_met: Callable[[Change], bool], patience: float) -> Change | None:
        """The first change that meets the condition; None when `patience` seconds are over."""
        try:
            async with asyncio.timeout(patience):
                while True:
                    change = await self._changes.get()
                    if is_met(change):
                        return change
        except TimeoutError:
            return None


class Journal:
    """Commits changes, and tells those who listen or wait.

    When the wall clock was set, all meters follow before anything else is decided. So whatever
    stands in one row, or in one change, was written by the same clock.
    """

    def __init__(
        self,
        store: Store,
        listeners: Iterable[ChangeListener] = (),
        meters: Iterable[MeterListener] = (),
    ) -> None:
        self._store = store
        self._listeners = list(listeners)
        self._meters = list(meters)
        self._watching: dict[str, set[Watching]] = {}
        self._set_by: list[timedelta] = []
        """How far the wall clock was set, each time since the meters followed it."""
        self._following = SingleFlight("follow-clock", self._follow_clock)

    def listen(self, listener: ChangeListener) -> None:
        """Tell `listener` of every change from now on."""
        self._listeners.append(listener)

    def clock_jumped(self, jump: Jump, _: datetime) -> None:
        """A clock tells of every jump, before anybody is told its new time."""
        if jump.set_by:
            self._set_by.append(jump.set_by)

    async def follow_clock(self) -> None:
        """Let all meters go on from where they stood, if the wall clock was set."""
        if self._set_by:
            await self._following.join()

    async def add(self, change: Change, confidential: Confidential) -> Session:
        """Record a new session; raises DuplicateSession."""
        return self._told(change, await self._store.add_session(change, confidential))

    async def apply(self, session_id: str, decide: Decision) -> Session:
        """Read, decide, commit; read and decide again as long as somebody else is faster.

        Returns the session as it is afterwards, also where nothing had to be written.
        Raises NotFound.
        """
        while True:
            await self.follow_clock()
            session, attempt = await self.read(session_id)
            change = decide(session, attempt)
            if change is None:
                return session
            if self._set_by:
                continue
            try:
                return self._told(change, await self._store.commit(change))
            except StaleWrite:
                continue

    async def read(self, session_id: str) -> tuple[Session, Attempt]:
        """A session and its current attempt; raises NotFound."""
        current = await self._store.current(session_id)
        if current is None:
            raise NotFound.named("session", session_id)
        return current

    async def overview(self, session_id: str) -> Overview:
        """A session with everything that was tried and billed for it; raises NotFound."""
        found = await self._store.overview(session_id)
        if found is None:
            raise NotFound.named("session", session_id)
        return found

    @contextmanager
    def watch(self, session_id: str) -> Iterator[Watching]:
        """Follow a session's changes, beginning now."""
        watching = Watching()
        self._watching.setdefault(session_id, set()).add(watching)
        try:
            yield watching
        finally:
            self._watching[session_id].discard(watching)
            if not self._watching[session_id]:
                del self._watching[session_id]

    async def close(self) -> None:
        """Leave the meters where they are."""
        await self._following.close()

    async def _follow_clock(self) -> None:
        while self._set_by:
            times, by = len(self._set_by), sum(self._set_by, timedelta())
            await self._store.follow_clock(by)
            del self._set_by[:times]
            for listener in self._meters:
                listener.meters_moved(by)

    def _told(self, change: Change, session: Session) -> Session:
        for listener in self._listeners:
            listener.session_changed(change, session)
        for watching in self._watching.get(session.id, ()):
            watching.tell(change)
        return session
