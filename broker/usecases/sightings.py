"""What was seen of machines of ours that no session holds, from one list to the next."""

from __future__ import annotations

from collections.abc import Sequence

from broker.errors import StoreUnwritable
from broker.model import Sighting
from broker.store import Store


class Sightings:
    """Kept in the store; while that takes nothing, in this process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._unwritten: dict[str, Sequence[Sighting]] = {}

    async def at(self, provider: str) -> Sequence[Sighting]:
        """Those of the last list of `provider`. Raises StoreFailed."""
        unwritten = self._unwritten.get(provider)
        return await self._store.sightings(provider) if unwritten is None else unwritten

    async def save(self, provider: str, seen: Sequence[Sighting]) -> None:
        """Replace all that was seen at `provider` by `seen`.

        Raises StoreFailed, but for StoreUnwritable: then it is kept here.
        """
        try:
            await self._store.save_sightings(provider, seen)
        except StoreUnwritable:
            self._unwritten[provider] = seen
        else:
            self._unwritten.pop(provider, None)
