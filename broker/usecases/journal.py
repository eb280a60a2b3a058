"""Every write about a session goes through here: committed first, then told to whoever waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

from broker.errors import NotFound, StaleWrite
from broker.model import Attempt, Change, Confidential, Overview, Session
from broker.store import Store

Decision = Callable[[Session, Attempt], Change | None]
"""From a session and its current attempt as they are now to what is to be written."""


class ChangeListener(Protocol):
    """Is told of every change, after its commit."""

    def session_changed(self, change: Change, session: Session) -> None: ...


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
    """Commits changes, and tells those who listen or wait."""

    def __init__(self, store: Store, listeners: Iterable[ChangeListener] = ()) -> None:
        self._store = store
        self._listeners = list(listeners)
        self._watching: dict[str, set[Watching]] = {}

    def listen(self, listener: ChangeListener) -> None:
        """Tell `listener` of every change from now on."""
        self._listeners.append(listener)

    async def add(self, change: Change, confidential: Confidential) -> Session:
        """Record a new session; raises DuplicateSession."""
        return self._told(change, await self._store.add_session(change, confidential))

    async def apply(self, session_id: str, decide: Decision) -> Session:
        """Read, decide, commit; read and decide again as long as somebody else is faster.

        Returns the session as it is afterwards, also where nothing had to be written.
        Raises NotFound.
        """
        while True:
            session, attempt = await self.read(session_id)
            change = decide(session, attempt)
            if change is None:
                return session
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

    def _told(self, change: Change, session: Session) -> Session:
        for listener in self._listeners:
            listener.session_changed(change, session)
        for watching in self._watching.get(session.id, ()):
            watching.tell(change)
        return session
