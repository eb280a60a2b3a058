"""One list of a provider's instances for everybody who asks at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from broker.clock import Clock
from broker.usecases.doors import Door
from providers.base import Instance

_REST_PER_MACHINE = timedelta(microseconds=500)
"""After each list, for those who can wait: ten times what it takes to read a line of it."""


@dataclass(frozen=True)
class Listing:
    """A complete list of an account's instances."""

    asked_at: datetime
    """When the list was asked for: what happened before it is in it."""
    asked_steadily_at: datetime
    """The same by the steady clock: to be compared with other lists."""
    instances: Sequence[Instance]

    @cached_property
    def by_id(self) -> Mapping[str, Instance]:
        return {instance.id: instance for instance in self.instances}

    @cached_property
    def by_label(self) -> Mapping[str, Instance]:
        return {instance.label: instance for instance in self.instances if instance.label}


class Fleet:
    """The instances of one account, listed at most once at a time."""

    def __init__(self, door: Door, clock: Clock) -> None:
        self._door = door
        self._clock = clock
        self.latest: Listing | None = None
        """The last complete list, however old."""
        self._running: asyncio.Task[Listing] | None = None

    async def fresh(self) -> Listing:
        """A list that was asked for no sooner than this; raises ProviderError."""
        since = self._clock.steady()
        while self.latest is None or self.latest.asked_steadily_at < since:
            await self._next()
        return self.latest

    async def recent(self, age: timedelta = timedelta()) -> Listing:
        """A list that is not older than `age` at the call; raises ProviderError.

        For those who look again and again: the larger the account, the rarer are its lists.
        """
        since = self._clock.steady() - age
        while self.latest is None or self.latest.asked_steadily_at < since:
            rest = self._rest()
            await (asyncio.sleep(rest.total_seconds()) if rest > timedelta() else self._next())
        return self.latest

    def _rest(self) -> timedelta:
        """How long those who can wait leave the provider, and the interpreter, in peace."""
        if self.latest is None:
            return timedelta()
        rests_for = len(self.latest.instances) * _REST_PER_MACHINE
        return self.latest.asked_steadily_at + rests_for - self._clock.steady()

    async def _next(self) -> None:
        """The list that is under way, or one that begins now; raises ProviderError."""
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._list(), name=f"list-{self._door.name}")
            self._running.add_done_callback(_look_at)
        await asyncio.shield(self._running)

    async def _list(self) -> Listing:
        asked_at, asked_steadily_at = self._clock.now(), self._clock.steady()
        listing = Listing(asked_at, asked_steadily_at, await self._door.list_instances())
        self.latest = listing
        return listing

    async def close(self) -> None:
        """Give up a list that is under way."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)


def _look_at(task: asyncio.Task[Listing]) -> None:
    """An error is told to those who wait; where nobody does, it is no news either."""
    if not task.cancelled():
        task.exception()
