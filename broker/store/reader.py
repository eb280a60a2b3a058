"""Runs queries, never in the way of the event loop for long."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar, cast

import aiosqlite

from broker.store.connections import failing_as_store_failed, reading_engine
from broker.store.prepared import Prepared

T = TypeVar("T")

_ROWS_AT_ONCE = 200
"""Rows decoded before others get their turn."""


class Reader:
    """Reads the last commit; does not wait for the writer."""

    def __init__(self, path: Path) -> None:
        self._engine = reading_engine(path)

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
        """Close the connections."""
        await self._engine.dispose()

    async def _run(self, query: Prepared[Any], given: dict[str, object]) -> Iterable[Any]:
        with failing_as_store_failed():
            async with self._engine.connect() as connection:
                pooled = await connection.get_raw_connection()
                driver = cast("aiosqlite.Connection", pooled.driver_connection)
                return await query.run(driver, given)
