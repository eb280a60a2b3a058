"""Destroying an instance until it is proved gone."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from broker.decide import moves
from broker.decide.absence import APART, Observation, Proof, doubtful_for, observe, proof_of
from broker.decide.destruction import Failing, told
from broker.decide.meter import run_on
from broker.decide.pauses import growing, is_news
from broker.errors import StoreUnwritable
from broker.model import Attempt, Change, Session, Wanted, Witness
from broker.usecases.journal import Decision
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
_LIST_PATIENCE = APART
"""How long a list is waited for where the next lookup does as well."""
_WITHOUT_EFFECT = (RateLimited, Unauthorized, InvalidRequest)
"""Errors that say that nothing was destroyed."""
_ANSWERS = frozenset({"instance.destroy_accepted", "instance.destroy_failed"})
_WITHOUT_END = "it is accepted, and has no end"
_TRIES_THAT_SUFFICE = 10
"""After so many an accepted destruction should have had its effect: minutes have passed."""


@dataclass(slots=True)
class _Seen:
    """What this process has seen of an instance that is to be gone."""

    doubtful_until: datetime
    """Before this, by the steady clock, an instance that nobody has seen may not be listed yet."""
    is_known: bool = False
    """The provider has told of it, or accepted its end."""
    asked_at: datetime | None = None
    """When this process first asked for its end, by the steady clock."""
    is_asked_in_truth: bool = True
    """If the row says that its end was asked for, somebody has an answer to that."""
    unwritten_at: datetime | None = None
    """The last acceptance, by the steady clock, where it could not be written down."""
    ignored: int = 0
    """Acceptances that had no effect."""
    called_at: datetime | None = None
    """The last call to destroy it that may still have its effect, by the steady clock."""
    is_billed: bool = True
    """Its meter was not stopped by a call to destroy it."""
    is_call_lost: bool = False
    """A call to destroy it got no answer: nobody knows when it had its effect, if ever."""
    is_accepted: bool = False
    """The provider has accepted such a call."""
    status: InstanceStatus | None = None
    """As of the last look; None where there was none."""
    may_be_destroyed: bool = False
    """A call to destroy it was accepted, or failed in a way that may have had its effect."""
    absences: tuple[Observation, ...] = ()
    """The latest answers in a row that did not have it."""
    unanswered: int = 0
    """Looks in a row that told nothing."""

    @property
    def is_ending(self) -> bool:
        return self.status is InstanceStatus.ENDING

    @property
    def is_up(self) -> bool:
        return self.status is not None and not self.is_ending

    @property
    def proof(self) -> Proof | None:
        return proof_of(self.absences, may_be_destroyed=self.may_be_destroyed)

    def stays_up(self, steady: datetime, settle: timedelta) -> bool:
        """Whether all calls to destroy it are known to have had no effect.

        They have it within `settle`. `steady` is the present instant by the steady clock.
        """
        return self.is_up and (self.called_at is None or steady - self.called_at >= settle)

    def call(self, steady: datetime) -> None:
        """A call to destroy it may have had its effect."""
        self.may_be_destroyed = True
        self.called_at = steady

    def look(self, instance: Instance) -> None:
        self.status = instance.status
        self.is_known = True
        self.absences = ()
        self.unanswered = 0

    def miss(self, observation: Observation) -> None:
        self.status = None
        self.unanswered = 0
        if self.is_known or observation.steadily_at >= self.doubtful_until:
            self.absences = observe(self.absences, observation)

    def is_lookup_due(self, now: datetime) -> bool:
        """Whether another lookup, `now` by the steady clock, may tell more than the others."""
        lookups = [one.steadily_at for one in self.absences if one.by is Witness.LOOKUP]
        return not lookups or now - lookups[-1] >= APART


class Teardown:
    """The step DESTROY: a call to destroy, and looks for the proof.

    Neither waits for a database that takes nothing: whoever comes after a crash asks again. What
    could not be written down is written with the proof.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._seen: dict[str, _Seen] = {}

    async def destroy(self, session: Session, attempt: Attempt, effort: Effort) -> timedelta | None:
        """Ask for the end, then look whether it has come. Repeated without end.

        What has been missed once is looked for again before anything more is asked for.
        """
        seen = self._seen.get(attempt.label) or await self._begin(attempt)
        is_accepted = seen.proof is None and await self._seek(session, attempt, effort, seen)
        if seen.proof is not None and _is_to_be_gone(session, attempt):
            await self._gone(session, attempt, seen, seen.proof)
            return None
        if seen.absences and seen.proof is None:
            return self._pause_between(seen)
        if is_accepted and effort.tries >= _TRIES_THAT_SUFFICE:
            await self._shout(session, attempt, effort.tries, _WITHOUT_END)
        return self._pause(attempt, effort, seen)

    async def _seek(self, session: Session, attempt: Attempt, effort: Effort, seen: _Seen) -> bool:
        """Ask and look once more; whether the provider accepts."""
        await self._look_at_what_stays_up(session, attempt, seen)
        is_accepted = not seen.absences and await self._ask(session, attempt, effort, seen)
        await self._look(attempt, seen)
        await self._bill_on(session, attempt, seen)
        return is_accepted

    async def _begin(self, attempt: Attempt) -> _Seen:
        """Where a process before this one has asked already, look first what came of it."""
        is_asked = attempt.destroy_asked_at is not None
        is_accepted = attempt.destroy_accepted_at is not None
        settle = self._tools.doors[attempt.offer.provider].capabilities.settle
        steady = self._tools.steady()
        seen = self._seen[attempt.label] = _Seen(
            doubtful_until=steady + doubtful_for(attempt, settle, self._tools.now()),
            is_known=is_accepted,
            called_at=steady if is_asked else None,
            is_billed=not is_asked,
            is_accepted=is_accepted,
            may_be_destroyed=is_asked,
        )
        if is_asked:
            seen.is_asked_in_truth = await self._was_answered(attempt)
            await self._look(attempt, seen)
        return seen

    async def _was_answered(self, attempt: Attempt) -> bool:
        """Whether a process before this one had an answer to its call, and did not die before."""
        told = await self._tools.store.events(session_id=attempt.session_id)
        return any(one.type in _ANSWERS and one.data["attempt"] == attempt.n for one in told)

    async def _look_at_what_stays_up(self, session: Session, attempt: Attempt, seen: _Seen) -> None:
        """Before more is asked for: has what was asked for last had its effect by now?"""
        if not seen.is_billed and self._stays_up(attempt, seen):
            await self._look(attempt, seen)
            await self._bill_on(session, attempt, seen)

    def _stays_up(self, attempt: Attempt, seen: _Seen) -> bool:
        settle = self._tools.doors[attempt.offer.provider].capabilities.settle
        return seen.stays_up(self._tools.steady(), settle)

    async def _bill_on(self, session: Session, attempt: Attempt, seen: _Seen) -> None:
        """Where nothing that was asked for has had an effect: write that down, and tell of it."""
        if seen.is_billed or not self._stays_up(attempt, seen):
            return
        seen.is_billed, seen.called_at, seen.unwritten_at = True, None, None
        await self._note(session, run_on)
        if seen.is_accepted:
            seen.is_accepted = False
            seen.ignored += 1
            trouble = "it is accepted, and the machine stays up"
            await self._shout(session, attempt, seen.ignored, trouble)

    async def _ask(self, session: Session, attempt: Attempt, effort: Effort, seen: _Seen) -> bool:
        """Ask the provider once; whether it accepts."""
        asked = self._lookup()
        if seen.is_billed or seen.is_up:
            is_first = not seen.is_asked_in_truth
            dated = partial(self._tools.clock.dated, asked.steadily_at)
            await self._note(session, lambda s, a: moves.ask_to_destroy(s, a, dated(), is_first))
            seen.is_billed, seen.is_asked_in_truth = False, True
        seen.asked_at = seen.asked_at or asked.steadily_at
        try:
            await self._tools.doors[attempt.offer.provider].destroy(attempt.instance_id or "")
        except NotFound:
            seen.miss(asked)
            return False
        except ProviderError as error:
            if not isinstance(error, _WITHOUT_EFFECT):
                seen.call(self._tools.steady())
                seen.is_call_lost = True
            elif seen.called_at is None:
                seen.is_billed = True
                await self._note(session, run_on)
            await self._shout(session, attempt, effort.tries, str(error))
            return False
        seen.call(self._tools.steady())
        self._tools.destructions.accept(attempt.offer.provider, attempt.instance_id or "")
        await self._note_accepted(session, attempt, seen)
        return True

    async def _note_accepted(self, session: Session, attempt: Attempt, seen: _Seen) -> None:
        """Write down the acceptance; what was accepted before is no news."""
        steady = self._tools.steady()
        dated = partial(self._tools.clock.dated, steady)
        seen.is_accepted = seen.is_known = True
        seen.is_call_lost = False
        if attempt.destroy_accepted_at is not None and not seen.is_up:
            return
        is_first = attempt.destroy_accepted_at is None and not seen.ignored
        move = moves.destroying if is_first else moves.destroy_again
        is_written = await self._note(session, lambda s, a: move(s, a, dated()))
        seen.unwritten_at = None if is_written else steady

    async def _look(self, attempt: Attempt, seen: _Seen) -> None:
        """Look by every means there is, until the instance is seen or proved gone."""
        patience = None
        if self._tools.doors[attempt.offer.provider].capabilities.direct_proof:
            has_answer = await self._look_up(attempt, seen)
            if has_answer and (seen.status is not None or seen.proof is not None):
                return
            patience = _LIST_PATIENCE if has_answer else None
        if not await self._look_through_list(attempt, seen, patience) and patience is None:
            seen.unanswered += 1

    async def _look_up(self, attempt: Attempt, seen: _Seen) -> bool:
        """Ask for the instance alone; whether there is an answer, were it the last one."""
        if not seen.is_lookup_due(self._tools.steady()):
            return True
        asked = self._lookup()
        door = self._tools.doors[attempt.offer.provider]
        try:
            seen.look(await door.get(attempt.instance_id or ""))
        except NotFound:
            seen.miss(asked)
        except ProviderError:
            return False
        return True

    def _lookup(self) -> Observation:
        """What a question that is asked now will have observed, where the answer is no."""
        return Observation(self._tools.now(), self._tools.steady(), Witness.LOOKUP)

    async def _look_through_list(
        self, attempt: Attempt, seen: _Seen, patience: timedelta | None
    ) -> bool:
        """Look for the instance in the next list; whether there is an answer."""
        fleet = self._tools.fleets[attempt.offer.provider]
        try:
            async with asyncio.timeout(patience.total_seconds() if patience else None):
                listing = await fleet.recent()
        except (ProviderError, TimeoutError):
            return False
        instance = listing.by_id.get(attempt.instance_id or "")
        if instance is None:
            seen.miss(Observation(listing.asked_at, listing.asked_steadily_at, Witness.LIST))
        else:
            seen.look(instance)
        return True

    async def _note(self, session: Session, decide: Decision) -> bool:
        """Write it down, if anything can be written; whether it can."""
        if self._tools.store.outage is not None:
            return False
        try:
            await self._tools.journal.apply(session.id, decide)
        except StoreUnwritable:
            return False
        return True

    async def _gone(self, session: Session, attempt: Attempt, seen: _Seen, proof: Proof) -> None:
        tools = self._tools
        tools.inventory.vacate(attempt.offer, attempt.accepted_at or tools.now())
        tools.destructions.succeed(attempt.offer.provider, attempt.instance_id or "")
        accruals = await tools.store.accruals(session_id=session.id)
        is_stopped = any(one.attempt == attempt.n and one.ends_at is not None for one in accruals)

        def decide(session: Session, attempt: Attempt) -> Change:
            known = replace(
                attempt,
                destroy_asked_at=attempt.destroy_asked_at or self._dated(seen.asked_at),
                destroy_accepted_at=self._dated(seen.unwritten_at) or attempt.destroy_accepted_at,
            )
            if not seen.is_known and attempt.verified_at is None:
                # It was made, and nobody ever saw it: it may still appear.
                known = replace(known, tombstone_until=tools.now() + moves.TOMBSTONE)
            is_written = is_stopped and seen.unwritten_at is None and not seen.is_call_lost
            first = replace(proof.first, at=tools.clock.dated(proof.first.steadily_at))
            shown = replace(proof, first=first)
            return moves.gone(session, known, shown, tools.now(), is_stopped=is_written)

        await tools.journal.apply(session.id, decide)
        self._seen.pop(attempt.label, None)

    def _dated(self, steadily: datetime | None) -> datetime | None:
        return None if steadily is None else self._tools.clock.dated(steadily)

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
        await self._note(session, lambda s, a: moves.destroy_fails(s, a, detail, self._tools.now()))

    def _pause(self, attempt: Attempt, effort: Effort, seen: _Seen) -> timedelta:
        pace = self._tools.rules.paces.get(attempt.offer.provider, 1.0)
        pause = max(growing(_FIRST_PAUSE, 2, effort.tries, _LONGEST_PAUSE) * pace, _FIRST_PAUSE)
        doubtful_for = seen.doubtful_until - self._tools.steady()
        return min(pause, doubtful_for) if doubtful_for > timedelta() else pause

    def _pause_between(self, seen: _Seen) -> timedelta:
        """Until another answer is worth something; longer while there are none."""
        if seen.unanswered:
            return growing(APART, 2, seen.unanswered, _LONGEST_PAUSE)
        left = seen.absences[-1].steadily_at + APART - self._tools.steady()
        return max(left, timedelta(0))


def _is_to_be_gone(session: Session, attempt: Attempt) -> bool:
    """Whether the row says why; what could not be written yet has to be written first."""
    return session.wanted is Wanted.GONE or attempt.reason is not None
