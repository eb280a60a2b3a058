"""Runs queries, never in the way of the event loop for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

from broker.errors import StoreFailed
from broker.store.connections import READERS, failing_as_store_failed, reading_connection
from broker.store.prepared import Prepared

T = TypeVar("T")

_ROWS_AT_ONCE = 10
"""Rows decoded before others get their turn."""


class Reader:
    """Reads the last commit; does not wait for the writer."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places = asyncio.Semaphore(READERS)
        self._idle: list[aiosqlite.Connection] = []
        self._is_closed = False

    async def fetch(self, query: Prepared[T], **given: object) -> list[T]:
        """Every row of the answer. Raises StoreFailed."""
        values = []
        for count, raw in enumerate(await self._run(query, given), start=1):
            values.append(query.read(raw))
            if count % _ROWS_AT_ONCE == 0:
                await asyncio.sleep(0)
        return values

    async def first(self, query: Prepared[T], **given: object) -> T | None:
        """The first row of the answer; None where there is none. Raises StoreFailed."""
        return next(iter(await self.fetch(query, **given)), None)

    async def close(self) -> None:
        """Let everybody finish reading, and close the connections."""
        self._is_closed = True
        for _ in range(READERS):
            await self._places.acquire()
        while self._idle:
            await self._idle.pop().close()

    async def _run(self, query: Prepared[Any], given: dict[str, object]) -> Iterable[Any]:
        with failing_as_store_failed():
            async with self._connection() as connection:
                return await query.run(connection, given)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[aiosqlite.Connection]:
        """One of the connections, opened when it is first needed."""
        async with self._places:
            if self._is_closed:
                raise StoreFailed("The database is closed.")
            connection = self._idle.pop() if self._idle else await reading_connection(self._path)
            try:
                yield connection
            finally:
                # A query that nobody waits for any more ends before the next one begins.
                self._idle.append(connection)
