"""Destroying an instance until it is proved gone."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from broker.decide import moves
from broker.decide.pauses import growing
from broker.model import Attempt, Session
from broker.usecases.launch import Tools
from broker.usecases.workers import Effort
from providers.errors import NotFound, ProviderError

log = logging.getLogger(__name__)

_FIRST_PAUSE = timedelta(seconds=1)
_LONGEST_PAUSE = timedelta(seconds=30)
_BETWEEN_LISTS = timedelta(seconds=1)
_TRIES_THAT_SHOUT = frozenset({1, 3, 10, 30})
_SHOUT_EVERY = 100


class Teardown:
    """The step DESTROY: one call to destroy, one look for the proof."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._absent_at: dict[str, datetime] = {}

    async def destroy(self, session: Session, attempt: Attempt, effort: Effort) -> timedelta | None:
        """Ask for the end, then look whether it has come. Repeated without end."""
        door = self._tools.doors[attempt.offer.provider]
        instance_id = attempt.instance_id or ""
        asked_at = self._tools.now()
        try:
            await door.destroy(instance_id)
        except NotFound:
            await self._gone(session, attempt, "the provider answered that it is gone")
            return None
        except ProviderError as error:
            await self._shout(session, effort, error)
            return self._pause(attempt, effort)
        if attempt.destroy_accepted_at is None:
            accepted_at = self._tools.now()
            await self._tools.journal.apply(
                session.id, lambda s, a: moves.destroying(s, a, asked_at, accepted_at)
            )
        proof = await self._proof(attempt)
        if proof is None:
            return self._pause(attempt, effort)
        await self._gone(session, attempt, proof)
        return None

    async def _proof(self, attempt: Attempt) -> str | None:
        """How it is proved that the instance is gone; None while it is not."""
        provider = attempt.offer.provider
        instance_id = attempt.instance_id or ""
        try:
            if self._tools.doors[provider].capabilities.direct_proof:
                await self._tools.doors[provider].get(instance_id)
                return None
            listing = await self._tools.fleets[provider].since(self._tools.now())
        except NotFound:
            return "the provider answered that it is gone"
        except ProviderError:
            return None
        if instance_id in listing.by_id:
            self._absent_at.pop(attempt.label, None)
            return None
        absent_at = self._absent_at.setdefault(attempt.label, listing.asked_at)
        if listing.asked_at - absent_at < _BETWEEN_LISTS:
            return None
        return "two complete lists in a row were without it"

    async def _gone(self, session: Session, attempt: Attempt, proof: str) -> None:
        tools = self._tools
        self._absent_at.pop(attempt.label, None)
        tools.inventory.release(attempt.offer)
        await tools.journal.apply(session.id, lambda s, a: moves.gone(s, a, proof, tools.now()))

    async def _shout(self, session: Session, effort: Effort, error: ProviderError) -> None:
        if effort.tries not in _TRIES_THAT_SHOUT and effort.tries % _SHOUT_EVERY:
            return
        detail = f"Destroying failed {effort.tries} times, it is tried on: {error}"
        log.error("%s", detail, extra={"session_id": session.id, "action": "destroy"})
        await self._tools.journal.apply(
            session.id, lambda s, a: moves.destroy_fails(s, a, detail, self._tools.now())
        )

    def _pause(self, attempt: Attempt, effort: Effort) -> timedelta:
        pace = self._tools.rules.paces.get(attempt.offer.provider, 1.0)
        return max(growing(_FIRST_PAUSE, 2, effort.tries, _LONGEST_PAUSE) * pace, _FIRST_PAUSE)
