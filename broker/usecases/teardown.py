"""Destroying an instance until it is proved gone."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from broker.decide import moves
from broker.decide.destruction import Failing, is_news, told
from broker.decide.pauses import growing
from broker.decide.plan import DENIALS_OF_A_GHOST
from broker.model import Attempt, Session
from broker.usecases.launch import Tools
from broker.usecases.workers import Effort
from providers.base import Instance, InstanceStatus
from providers.errors import (
    InvalidRequest,
    NotFound,
    ProviderError,
    RateLimited,
    Unauthorized,
)

log = logging.getLogger(__name__)

_FIRST_PAUSE = timedelta(seconds=1)
_LONGEST_PAUSE = timedelta(seconds=30)
_BETWEEN_LISTS = timedelta(seconds=1)
_WITHOUT_EFFECT = (RateLimited, Unauthorized, InvalidRequest)
"""Errors that say that nothing was destroyed."""
_WITHOUT_END = "it is accepted, and has no end"
_TRIES_THAT_SUFFICE = 10
"""After so many an accepted destruction should have had its effect: minutes have passed."""


@dataclass(slots=True)
class _Seen:
    """What this process has seen of an instance that is to be gone."""

    accepted_at: datetime | None = None
    """The first acceptance of its destruction."""
    ignored: int = 0
    """Acceptances that had no effect."""
    status: InstanceStatus | None = None
    """As of the last look; None where there was none."""
    denials: int = 0
    """How often in a row the provider, asked for it alone, said that it is gone."""
    may_be_destroyed: bool = False
    """A call to destroy it was accepted, or failed in a way that may have had its effect."""
    absent_at: datetime | None = None
    """When the first of the lists in a row was asked for that do not have it."""

    @property
    def is_ending(self) -> bool:
        return self.status is InstanceStatus.ENDING

    @property
    def is_up(self) -> bool:
        return self.status is not None and not self.is_ending

    def look(self, instance: Instance) -> None:
        self.status = instance.status
        self.absent_at = None
        self.denials = 0


class Teardown:
    """The step DESTROY: one call to destroy, one look for the proof."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._seen: dict[str, _Seen] = {}

    async def destroy(self, session: Session, attempt: Attempt, effort: Effort) -> timedelta | None:
        """Ask for the end, then look whether it has come. Repeated without end."""
        try:
            is_accepted = await self._ask(session, attempt, effort)
            proof = await self._proof(attempt)
        except NotFound:
            proof = "the provider answered that it is gone"
        else:
            if proof is None and is_accepted and effort.tries >= _TRIES_THAT_SUFFICE:
                await self._shout(session, attempt, effort.tries, _WITHOUT_END)
        if proof is None:
            return self._pause(attempt, effort)
        await self._gone(session, attempt, proof)
        return None

    async def _ask(self, session: Session, attempt: Attempt, effort: Effort) -> bool:
        """Ask the provider once; whether it accepts. Raises NotFound where nothing is left."""
        asked_at = self._tools.now()
        seen = self._seen.setdefault(attempt.label, _Seen())
        try:
            await self._tools.doors[attempt.offer.provider].destroy(attempt.instance_id or "")
        except NotFound:
            raise
        except ProviderError as error:
            seen.may_be_destroyed |= not isinstance(error, _WITHOUT_EFFECT)
            await self._shout(session, attempt, effort.tries, str(error))
            return False
        seen.may_be_destroyed = True
        self._tools.destructions.accept(attempt.offer.provider, attempt.instance_id or "")
        await self._note_accepted(session, attempt, asked_at)
        return True

    async def _note_accepted(self, session: Session, attempt: Attempt, asked_at: datetime) -> None:
        """Write down the acceptance, and notice where the earlier ones had no effect."""
        journal = self._tools.journal
        seen = self._seen.setdefault(attempt.label, _Seen())
        now = self._tools.now()
        seen.accepted_at = seen.accepted_at or now
        settle = self._tools.doors[attempt.offer.provider].capabilities.settle
        is_ignored = seen.is_up and now - seen.accepted_at >= settle
        if attempt.destroy_accepted_at is None:
            await journal.apply(session.id, lambda s, a: moves.destroying(s, a, asked_at, now))
        elif not seen.is_ending:
            await journal.apply(
                session.id, lambda s, a: moves.destroy_again(s, a, now, is_ignored=is_ignored)
            )
        if is_ignored:
            seen.ignored += 1
            trouble = "it is accepted, and the machine stays up"
            await self._shout(session, attempt, seen.ignored, trouble)

    async def _proof(self, attempt: Attempt) -> str | None:
        """How it is proved that the instance is gone; None while it is not, or not known.

        Raises NotFound where the provider says so: once where it may have destroyed it, else as
        often as of a machine that should live.
        """
        seen = self._seen.setdefault(attempt.label, _Seen())
        provider = attempt.offer.provider
        instance_id = attempt.instance_id or ""
        try:
            if self._tools.doors[provider].capabilities.direct_proof:
                seen.look(await self._tools.doors[provider].get(instance_id))
                return None
            listing = await self._tools.fleets[provider].fresh()
        except NotFound:
            seen.denials += 1
            is_asked = seen.may_be_destroyed or attempt.destroy_accepted_at is not None
            if is_asked or seen.denials >= DENIALS_OF_A_GHOST:
                raise
            return None
        except ProviderError:
            return None
        instance = listing.by_id.get(instance_id)
        if instance is not None:
            seen.look(instance)
            return None
        seen.status = None
        seen.absent_at = seen.absent_at or listing.asked_at
        if listing.asked_at - seen.absent_at < _BETWEEN_LISTS:
            return None
        return "two complete lists in a row were without it"

    async def _gone(self, session: Session, attempt: Attempt, proof: str) -> None:
        tools = self._tools
        self._seen.pop(attempt.label, None)
        tools.inventory.release(attempt.offer)
        tools.destructions.succeed(attempt.offer.provider, attempt.instance_id or "")
        await tools.journal.apply(session.id, lambda s, a: moves.gone(s, a, proof, tools.now()))

    async def _shout(self, session: Session, attempt: Attempt, times: int, trouble: str) -> None:
        """Remember that destroying does not work, and tell of it now and then."""
        self._tools.destructions.fail(
            Failing(
                provider=attempt.offer.provider,
                instance_id=attempt.instance_id or "",
                session_id=session.id,
                is_orphan=False,
                since=attempt.destroy_asked_at or self._tools.now(),
                tries=1,
                answer=trouble,
            )
        )
        if not is_news(times):
            return
        detail = told(times, trouble)
        log.error("%s", detail, extra={"session_id": session.id, "action": "destroy"})
        await self._tools.journal.apply(
            session.id, lambda s, a: moves.destroy_fails(s, a, detail, self._tools.now())
        )

    def _pause(self, attempt: Attempt, effort: Effort) -> timedelta:
        pace = self._tools.rules.paces.get(attempt.offer.provider, 1.0)
        return max(growing(_FIRST_PAUSE, 2, effort.tries, _LONGEST_PAUSE) * pace, _FIRST_PAUSE)
