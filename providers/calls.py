"""The calls of one account: each in its turn, and what their answers mean."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from providers.answers import Context
from providers.errors import BadResponse, OutcomeUnknown, RateLimited, Unavailable
from providers.http import Answer, NotSent
from providers.pacing import Pacer

T = TypeVar("T")
Send = Callable[[], Awaitable[Answer]]
"""Sends one request, once."""
Read = Callable[[Answer, Context], T]
"""What an answer says; raises the `ProviderError` that it means."""


class Calls:
    """Makes an account's calls in the lanes of its pacer, and heeds what is asked for too often."""

    def __init__(
        self,
        pacer: Pacer,
        now: Callable[[], datetime],
        *,
        pace: float,
        usual_wait: timedelta,
        secret: str,
    ) -> None:
        """`usual_wait` is, at pace 1, what a refusal for haste asks for that names no wait."""
        self._pacer = pacer
        self._now = now
        self._pace = pace
        self._usual_wait = usual_wait * pace
        self._secret = secret

    async def ask(self, lane: str, send: Send, read: Read[T]) -> T:
        """What `read` makes of the answer. Raises what `send` and `read` do."""
        async with self._pacer.turn(lane):
            answer = await send()
        try:
            return read(answer, self._context())
        except RateLimited as error:
            raise self._pacer.heed(lane, error, pace=self._pace) from error

    async def create(self, lane: str, send: Send, read: Read[T], *, patience: timedelta) -> T:
        """The same for a creation: sent again only where it was refused for haste.

        No longer than `patience` is waited. Raises `OutcomeUnknown` where a machine may have
        been made, and `RateLimited` where it would have to wait for longer.
        """
        once = partial(self._create_once, send, read)
        return await self._pacer.insist(lane, once, patience=patience, pace=self._pace)

    async def _create_once(self, send: Send, read: Read[T]) -> T:
        try:
            return read(await send(), self._context())
        except NotSent:
            raise
        except (Unavailable, BadResponse) as error:
            raise OutcomeUnknown(str(error)) from error

    def _context(self) -> Context:
        return Context(self._now(), self._usual_wait, self._secret)
