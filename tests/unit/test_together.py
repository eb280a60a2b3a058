"""Lookups that share their trips to the database."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from broker.store.together import Together


class Shelf:
    """Values that are looked up when the test lets it happen."""

    def __init__(self) -> None:
        self.values = {"a": 1, "b": 1, "c": 1}
        self.trips: list[Sequence[str]] = []
        self.error: Exception | None = None
        self.answers = asyncio.Event()
        self.answers.set()

    async def look_up(self, keys: Sequence[str]) -> Mapping[str, int]:
        self.trips.append(list(keys))
        seen = dict(self.values)
        await self.answers.wait()
        if self.error is not None:
            raise self.error
        return {key: seen[key] for key in keys if key in seen}


async def waiting(together: Together[int], *keys: str) -> list[asyncio.Task[int | None]]:
    """Lookups that have been asked for."""
    tasks = [asyncio.create_task(together.find(key)) for key in keys]
    await asyncio.sleep(0)
    return tasks


async def test_what_is_asked_for_meanwhile_shares_the_next_trip() -> None:
    """However many come; what is not there is None."""
    shelf = Shelf()
    together = Together(shelf.look_up)
    shelf.answers.clear()
    asked = await waiting(together, "a") + await waiting(together, "b", "c", "b", "x")
    shelf.answers.set()

    assert await asyncio.gather(*asked) == [1, 1, 1, 1, None]
    assert shelf.trips == [["a"], ["b", "c", "b", "x"]]


async def test_a_lookup_never_sees_what_was_read_before_it_was_asked_for() -> None:
    """It does not join the trip that is under way."""
    shelf = Shelf()
    together = Together(shelf.look_up)
    shelf.answers.clear()
    early = await waiting(together, "a")
    shelf.values["a"] = 2
    late = await waiting(together, "a")
    shelf.answers.set()

    assert await asyncio.gather(*early, *late) == [1, 2]


async def test_who_leaves_takes_nobody_along() -> None:
    """Be it the one who made the trip, or one who waited for it."""
    shelf = Shelf()
    together = Together(shelf.look_up)
    shelf.answers.clear()
    traveller, *others = await waiting(together, "a") + await waiting(together, "b", "c")
    traveller.cancel()
    await asyncio.sleep(0)
    others[0].cancel()
    shelf.answers.set()

    assert await others[1] == 1
    assert await together.find("a") == 1


async def test_an_error_reaches_everybody_whom_it_concerns() -> None:
    """And nobody who asks later."""
    shelf = Shelf()
    together = Together(shelf.look_up)
    shelf.answers.clear()
    asked = await waiting(together, "a") + await waiting(together, "b", "c")
    shelf.error = OSError()
    shelf.answers.set()
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(result) for result in results] == [OSError] * 3
    shelf.error = None

    assert await together.find("a") == 1
