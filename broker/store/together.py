"""Lookups of single values that share their trips to the database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class _Batch(Generic[T]):
    keys: list[str] = field(default_factory=list)
    found: Mapping[str, T] | None = None
    """None until it was looked up."""


class Together(Generic[T]):
    """One lookup is under way at a time; all that are asked for meanwhile are the next one.

    A trip to the thread of the driver takes longer than all else of a small read.
    """

    def __init__(self, look_up: Callable[[Sequence[str]], Awaitable[Mapping[str, T]]]) -> None:
        self._look_up = look_up
        self._turn = asyncio.Lock()
        self._next: _Batch[T] = _Batch()

    async def find(self, key: str) -> T | None:
        """The value as it is now, or None: the lookup begins after the call. Raises as it does."""
        batch = self._next
        batch.keys.append(key)
        async with self._turn:
            if batch.found is None:
                if batch is self._next:
                    self._next = _Batch()
                batch.found = await self._look_up(batch.keys)
        return batch.found.get(key)
