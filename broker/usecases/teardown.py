"""Destroying an instance until it is proved gone."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from broker.decide import moves
from broker.decide.pauses import growing
from broker.model import Attempt, Session
from broker.usecases.launch import Tools
from broker.usecases.workers import Effort
from providers.base import Instance, InstanceStatus
from providers.errors import NotFound, ProviderError

log = logging.getLogger(__name__)

_FIRST_PAUSE = timedelta(seconds=1)
_LONGEST_PAUSE = timedelta(seconds=30)
_BETWEEN_LISTS = timedelta(seconds=1)
_TRIES_THAT_SHOUT = frozenset({1, 2, 5, 10, 30})
_SHOUT_EVERY = 100


@dataclass(slots=True)
class _Seen:
    """What this process has seen of an instance that is to be gone."""

    is_up: bool = False
    """When last looked at it was there, and not on its way out."""
    absent_at: datetime | None = None
    """When the first of the lists in a row was asked for that do not have it."""

    def look(self, instance: Instance) -> None:
        self.is_up = instance.status is not InstanceStatus.ENDING
        self.absent_at = None


class Teardown:
    """The step DESTROY: one call to destroy, one look for the proof."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._seen: dict[str, _Seen] = {}

    async def destroy(self, session: Session, attempt: Attempt, effort: Effort) -> timedelta | None:
        """Ask for the end, then look whether it has come. Repeated without end."""
        try:
            trouble = await self._ask(session, attempt)
            proof = await self._proof(attempt)
        except NotFound:
            trouble, proof = None, "the provider answered that it is gone"
        if trouble is not None:
            await self._shout(session, effort, trouble)
        if proof is None:
            return self._pause(attempt, effort)
        await self._gone(session, attempt, proof)
        return None

    async def _ask(self, session: Session, attempt: Attempt) -> str | None:
        """Ask the provider once; returns what is wrong. Raises NotFound where it is gone."""
        tools = self._tools
        asked_at = tools.now()
        try:
            await tools.doors[attempt.offer.provider].destroy(attempt.instance_id or "")
        except NotFound:
            raise
        except ProviderError as error:
            return str(error)
        return await self._accepted(session, attempt, asked_at)

    async def _accepted(self, session: Session, attempt: Attempt, asked_at: datetime) -> str | None:
        """Write down the acceptance; returns what is wrong where the one before had no effect."""
        tools = self._tools
        now = tools.now()
        if attempt.destroy_accepted_at is None:
            await tools.journal.apply(
                session.id, lambda s, a: moves.destroying(s, a, asked_at, now)
            )
            return None
        if not self._seen.get(attempt.label, _Seen()).is_up:
            return None
        await tools.journal.apply(session.id, lambda s, a: moves.destroy_again(s, a, now))
        return "The provider accepts it, and the machine stays as it was."

    async def _proof(self, attempt: Attempt) -> str | None:
        """How it is proved that the instance is gone; None while it is not, or not known.

        Raises NotFound where the provider says so.
        """
        seen = self._seen.setdefault(attempt.label, _Seen())
        provider = attempt.offer.provider
        instance_id = attempt.instance_id or ""
        try:
            if self._tools.doors[provider].capabilities.direct_proof:
                seen.look(await self._tools.doors[provider].get(instance_id))
                return None
            listing = await self._tools.fleets[provider].since(self._tools.now())
        except NotFound:
            raise
        except ProviderError:
            return None
        instance = listing.by_id.get(instance_id)
        if instance is not None:
            seen.look(instance)
            return None
        seen.absent_at = seen.absent_at or listing.asked_at
        if listing.asked_at - seen.absent_at < _BETWEEN_LISTS:
            return None
        return "two complete lists in a row were without it"

    async def _gone(self, session: Session, attempt: Attempt, proof: str) -> None:
        tools = self._tools
        self._seen.pop(attempt.label, None)
        tools.inventory.release(attempt.offer)
        await tools.journal.apply(session.id, lambda s, a: moves.gone(s, a, proof, tools.now()))

    async def _shout(self, session: Session, effort: Effort, trouble: str) -> None:
        if effort.tries not in _TRIES_THAT_SHOUT and effort.tries % _SHOUT_EVERY:
            return
        detail = f"Destroying does not work yet (try {effort.tries}, more follow): {trouble}"
        log.error("%s", detail, extra={"session_id": session.id, "action": "destroy"})
        await self._tools.journal.apply(
            session.id, lambda s, a: moves.destroy_fails(s, a, detail, self._tools.now())
        )

    def _pause(self, attempt: Attempt, effort: Effort) -> timedelta:
        pace = self._tools.rules.paces.get(attempt.offer.provider, 1.0)
        return max(growing(_FIRST_PAUSE, 2, effort.tries, _LONGEST_PAUSE) * pace, _FIRST_PAUSE)
