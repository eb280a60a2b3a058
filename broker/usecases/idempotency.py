"""Requests that carry an Idempotency-Key: each is carried out once.

That it was is committed together with what the request does. A request that did nothing leaves
no trace, and is looked at afresh when it comes again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from broker.errors import IdempotencyMismatch
from broker.model import CarriedOut, Change
from broker.store import Store
from broker.usecases.turns import Turns

KEPT = timedelta(hours=24)
"""How long a key stands for its request."""


@dataclass(frozen=True, slots=True)
class Keyed:
    """An Idempotency-Key, and everything that the request with it asks for."""

    key: str
    asked: bytes


@dataclass(frozen=True, slots=True)
class Turn:
    """A request whose turn it is: no other with its key is under way."""

    carried_out: CarriedOut | None = None
    """The earlier one with the same key, which asked for the same."""
    key: str | None = None
    fingerprint: str = ""

    def sign(self, change: Change, now: datetime, **answer: Any) -> Change:
        """`change`, with the note that this request was carried out, if it has a key.

        `answer` is what the answer to a repetition needs: JSON values, no secrets.
        """
        if self.key is None or self.carried_out is not None:
            return change
        signed: Mapping[str, Any] = answer
        carried_out = CarriedOut(self.key, self.fingerprint, change.session.id, now, signed)
        return replace(change, carried_out=carried_out)


UNKEYED = Turn()
"""The turn of a request without a key."""


class Idempotency:
    """Tells a repeated request from a new one."""

    def __init__(self, store: Store, *, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now
        self._turns = Turns()

    @asynccontextmanager
    async def turn(self, keyed: Keyed | None) -> AsyncIterator[Turn]:
        """Wait for the turn of a request; raises IdempotencyMismatch."""
        if keyed is None:
            yield UNKEYED
            return
        fingerprint = self._store.fingerprint(keyed.asked)
        async with self._turns.of(keyed.key):
            found = await self._store.carried_out(keyed.key, since=self._now() - KEPT)
            if found is not None and found.fingerprint != fingerprint:
                raise IdempotencyMismatch
            yield Turn(found, keyed.key, fingerprint)

    async def prune(self) -> None:
        """Forget the requests whose keys stand for nothing any more."""
        await self._store.prune_carried_out(self._now() - KEPT)
