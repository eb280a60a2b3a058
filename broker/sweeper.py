"""One sweep: observe, plan, apply. Knows nothing of timers.

Everything that needs doing is found here, whoever forgot it: leases that are over,
work that nobody does, orphans, ghosts, lost machines. Each action is applied on its
own, so that one failure stops nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from broker.decide import lease, moves
from broker.decide.destruction import PATIENCE
from broker.decide.ownership import sessions_named
from broker.decide.plain import plain
from broker.decide.plan import (
    DENIALS_OF_A_GHOST,
    Action,
    DestroyInstance,
    EndSession,
    LoseSession,
    MarkLost,
    Memory,
    Policy,
    ResumeSession,
    Verdicts,
    WarnSession,
    plan_instances,
    plan_sessions,
)
from broker.errors import StoreUnwritable
from broker.model import Attempt, Change, Event, Session, Sighting, Wanted, Watch
from broker.usecases.fleet import Listing
from broker.usecases.launch import Tools
from broker.usecases.leaks import LeakListener, LeakMeter
from broker.usecases.sightings import Sightings
from broker.usecases.workers import Workers
from providers.errors import NotFound, ProviderError

log = logging.getLogger(__name__)

_INSTANT = timedelta(microseconds=1)


class SweepListener(LeakListener, Protocol):
    """Is told what sweeps find."""

    def orphan_detected(self) -> None: ...

    def machine_missing(self, *, is_ghost: bool) -> None: ...


@dataclass(frozen=True, slots=True)
class Applied:
    """One action of a sweep, and what became of it."""

    action: str
    reason: str
    is_done: bool
    session_id: str | None = None
    provider: str | None = None
    instance_id: str | None = None


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What one sweep did, or would do."""

    is_dry_run: bool
    actions: tuple[Applied, ...] = ()
    unlisted: Mapping[str, str] = field(default_factory=dict)
    """Provider that could not be listed -> why. Nothing was concluded about its machines."""


class Sweeper:
    """Sweeps over all sessions and all providers."""

    def __init__(
        self, tools: Tools, workers: Workers, policy: Policy, listener: SweepListener
    ) -> None:
        self._tools = tools
        self._workers = workers
        self._policy = policy
        self._listener = listener
        self._memories: dict[str, Memory] = {}
        self._denied: dict[str, Counter[str]] = {}
        """Provider -> session -> how often in a row it said that the missing machine is gone."""
        self._sightings = Sightings(tools.store)
        self._leaks = LeakMeter(tools, listener)
        self._compared_at: dict[str, datetime] = {}
        """Provider -> when the last list was asked for that was compared, by the steady clock."""
        self._locks = {provider: asyncio.Lock() for provider in tools.fleets}

    async def sweep(
        self,
        providers: Iterable[str] = (),
        *,
        is_dry_run: bool = False,
        patience: timedelta | None = None,
    ) -> SweepReport:
        """Look at every session once, and compare with the lists of these providers.

        `patience` bounds each call of a provider; without it the provider's own deadlines do.
        """
        listings, unlisted = await self._list(providers, patience)
        watches = await (self.watches() if listings else self._restless())
        if not is_dry_run:
            self._leaks.look(watches, self._memories)
        actions = plan_sessions(watches, self._tools.now())
        applied = await self._carry_out(actions, is_dry_run=is_dry_run)
        for provider, listing in listings.items():
            async with self._locks[provider]:
                applied += await self._reconcile(
                    provider, listing, watches, is_dry_run=is_dry_run, patience=patience
                )
        shown = tuple(one for one in applied if one.action != "resume" or is_dry_run)
        return SweepReport(is_dry_run, shown, unlisted)

    async def _reconcile(
        self,
        provider: str,
        listing: Listing,
        watches: Iterable[Watch],
        *,
        is_dry_run: bool,
        patience: timedelta | None,
    ) -> list[Applied]:
        verdicts = await self._compare(provider, listing, watches)
        if is_dry_run:
            return await self._carry_out(verdicts.actions, is_dry_run=True)
        asked_at = listing.asked_steadily_at
        if asked_at <= self._compared_at.get(provider, asked_at - _INSTANT):
            # Looking at one list twice must not count as two sightings.
            return []
        self._compared_at[provider] = asked_at
        await self._remember(provider, verdicts)
        applied = await self._carry_out(verdicts.actions, is_dry_run=False, patience=patience)
        await self._note_asked(provider, applied)
        return applied

    async def _carry_out(
        self, actions: Iterable[Action], *, is_dry_run: bool, patience: timedelta | None = None
    ) -> list[Applied]:
        if is_dry_run:
            return [_describe(action, is_done=False) for action in actions]
        return list(await asyncio.gather(*(self._apply_alone(one, patience) for one in actions)))

    async def reap(self) -> None:
        """End the sessions whose lease is over now."""
        watches = await self._tools.store.due(self._tools.now())
        actions = plan_sessions(watches, self._tools.now())
        await asyncio.gather(*map(self._apply_alone, actions))

    async def watches(self) -> list[Watch]:
        """The sessions that are not final."""
        return [watch async for page in self._tools.store.watches() for watch in page]

    async def _restless(self) -> list[Watch]:
        """Those of them for which the records alone may ask for an action now."""
        return await self._tools.store.restless(self._tools.now() + lease.EXPIRY_WARNING)

    async def _list(
        self, providers: Iterable[str], patience: timedelta | None
    ) -> tuple[dict[str, Listing], dict[str, str]]:
        names = list(providers)
        seconds = patience.total_seconds() if patience else None
        asked = (asyncio.wait_for(self._tools.fleets[name].fresh(), seconds) for name in names)
        answers = dict(
            zip(names, await asyncio.gather(*asked, return_exceptions=True), strict=True)
        )
        listings, unlisted = {}, {}
        for name, answer in answers.items():
            if isinstance(answer, Listing):
                listings[name] = answer
            elif isinstance(answer, ProviderError | TimeoutError):
                unlisted[name] = str(answer) or "no answer in time"
                log.warning("%s cannot be listed: %s", name, unlisted[name])
            elif isinstance(answer, Exception):
                unlisted[name] = f"something unforeseen ({type(answer).__name__})"
                log.error("%s cannot be listed.", name, exc_info=answer)
            else:
                raise answer
        return listings, unlisted

    async def _compare(self, provider: str, listing: Listing, watches: Iterable[Watch]) -> Verdicts:
        # What is computed for thousands of machines is computed beside the event loop.
        ids = await asyncio.to_thread(sessions_named, listing.instances)
        plan = partial(
            plan_instances,
            provider,
            listing.instances,
            listed_at=listing.asked_at,
            settle=self._tools.doors[provider].capabilities.settle,
            watches=[watch for watch in watches if watch.provider == provider],
            holders=await self._tools.store.holders(ids),
            sightings=await self._sightings.at(provider),
            memory=self._memories.get(provider, Memory()),
            policy=self._policy,
            now=self._tools.now(),
            steady=self._tools.steady(),
        )
        return await asyncio.to_thread(plan)

    async def _remember(self, provider: str, verdicts: Verdicts) -> None:
        """Keep what was seen, and tell what is new or gone since the last list."""
        before = {one.instance_id: one for one in await self._sightings.at(provider)}
        now_seen = {one.instance_id for one in verdicts.sightings}
        self._memories[provider] = verdicts.memory
        denied = self._denied.get(provider, Counter())
        self._denied[provider] = Counter({one: denied[one] for one in verdicts.memory.missed})
        await self._sightings.save(provider, verdicts.sightings)
        for sighting in verdicts.sightings:
            if sighting.instance_id not in before:
                self._listener.orphan_detected()
                await self._tell("orphan.detected", sighting)
        for instance_id, sighting in before.items():
            if instance_id in now_seen:
                continue
            self._tools.destructions.succeed(provider, instance_id)
            if sighting.destroy_asked_at is not None:
                await self._tell("orphan.destroyed", sighting)

    async def _tell(self, kind: str, sighting: Sighting) -> None:
        log.warning("%s: %s", kind, sighting.label, extra={"provider": sighting.provider})
        data = {
            "provider": sighting.provider,
            "instance_id": sighting.instance_id,
            "label": sighting.label,
            "first_seen_at": sighting.first_seen_at,
        }
        event = Event(
            kind, self._tools.now(), data={key: plain(value) for key, value in data.items()}
        )
        with suppress(StoreUnwritable):  # the log has it
            await self._tools.store.add_event(event)

    async def _apply_alone(self, action: Action, patience: timedelta | None = None) -> Applied:
        try:
            async with asyncio.timeout(patience.total_seconds() if patience else None):
                is_done = await self._apply(action)
        except (ProviderError, TimeoutError) as error:
            why = str(error) or "no answer in time"
            log.warning("The sweep could not %s: %s", _describe(action, is_done=False).action, why)
            is_done = False
        except StoreUnwritable:
            # The writer tells of it, once for all. The end itself does not wait for that.
            if isinstance(action, EndSession):
                self._workers.ensure(action.session_id)
            is_done = False
        except Exception:
            log.exception("An action of the sweep met something unforeseen.")
            is_done = False
        return _describe(action, is_done=is_done)

    async def _apply(self, action: Action) -> bool:
        match action:
            case ResumeSession(session_id):
                self._workers.ensure(session_id)
            case DestroyInstance():
                return await self._destroy(action)
            case LoseSession():
                return await self._lose(action)
            case _:
                if isinstance(action, EndSession) and self._tools.store.outage is not None:
                    # An attempt to write may take long.
                    self._workers.ensure(action.session_id)
                await self._tools.journal.apply(
                    action.session_id, lambda s, _: self._decide(action, s)
                )
                if isinstance(action, EndSession):
                    self._workers.wake(action.session_id)
        return True

    def _decide(
        self, action: EndSession | WarnSession | MarkLost, session: Session
    ) -> Change | None:
        now = self._tools.now()
        if session.wanted is Wanted.GONE:
            return None
        match action:
            case EndSession(_, reason, due_at):
                is_over = lease.due_at(session) <= now
                return moves.end(session, reason, due_at, now) if is_over else None
            case MarkLost(_, since):
                is_noted = (session.lost_since is None) == (since is None)
                words = "the provider's list says so"
                return None if is_noted else moves.mark_lost(session, since, words, now)
            case WarnSession():
                is_told = session.warned_for == lease.due_at(session)
                return None if is_told else moves.warn(session, now)

    async def _lose(self, action: LoseSession) -> bool:
        now = self._tools.now()
        if action.is_ghost and not await self._is_denied(action.session_id):
            return False

        def decide(session: Session, attempt: Attempt) -> Change | None:
            if session.wanted is Wanted.GONE:
                return None
            if lease.is_kept(session, now) and not action.is_ghost:
                return None
            return moves.lose(session, attempt, action.detail, now)

        await self._tools.journal.apply(action.session_id, decide)
        self._listener.machine_missing(is_ghost=action.is_ghost)
        self._workers.wake(action.session_id)
        return True

    async def _is_denied(self, session_id: str) -> bool:
        """Whether the provider, asked for it alone, has said often enough that a machine is gone.

        What it says in one sweep is one denial. Raises ProviderError where it does not tell.
        """
        session, attempt = await self._tools.journal.read(session_id)
        door = self._tools.doors[attempt.offer.provider]
        if not door.capabilities.direct_proof:
            return True
        denials = self._denied.setdefault(door.name, Counter())
        try:
            await door.get(session.instance_id or "")
        except NotFound:
            denials[session_id] += 1
            return denials[session_id] >= DENIALS_OF_A_GHOST
        denials.pop(session_id, None)
        log.warning("The lists of %s miss a machine that exists.", door.name, extra=_of(session))
        return False

    async def _destroy(self, action: DestroyInstance) -> bool:
        try:
            await self._tools.doors[action.provider].destroy(action.instance_id)
        except NotFound:
            return True
        except ProviderError as error:
            await self._tools.destructions.fail_orphan(
                action.provider, action.instance_id, action.label, str(error), self._tools.now()
            )
            return False
        self._tools.destructions.accept(action.provider, action.instance_id)
        return True

    async def _note_asked(self, provider: str, applied: Iterable[Applied]) -> None:
        """Remember which orphans the provider has agreed to destroy, and tell which stay."""
        asked = {one.instance_id for one in applied if one.is_done and one.instance_id}
        if not asked:
            return
        now = self._tools.now()
        seen = await self._sightings.at(provider)
        sightings = [
            replace(one, destroy_asked_at=one.destroy_asked_at or now)
            if one.instance_id in asked
            else one
            for one in seen
        ]
        await self._sightings.save(provider, sightings)
        memory = self._memories[provider]
        overdue_at = {key: at for key, at in memory.overdue_at.items() if key not in asked}
        self._memories[provider] = replace(memory, overdue_at=overdue_at)
        for one in seen:
            since = one.destroy_asked_at
            if one.instance_id in asked and since is not None and now - since >= PATIENCE:
                trouble = "it is accepted, and the machine stays"
                await self._tools.destructions.fail_orphan(
                    provider, one.instance_id, one.label, trouble, since
                )


def _of(session: Session) -> dict[str, str]:
    return {"session_id": session.id}


def _describe(action: Action, *, is_done: bool) -> Applied:
    match action:
        case EndSession(session_id, reason, _):
            return Applied("end", reason, is_done, session_id)
        case WarnSession(session_id):
            return Applied("warn", "the end comes near", is_done, session_id)
        case ResumeSession(session_id):
            return Applied("resume", "it is on its way up or down", is_done, session_id)
        case MarkLost(session_id, since):
            words = "the machine does not run" if since else "the machine runs again"
            return Applied("mark-lost", words, is_done, session_id)
        case LoseSession(session_id, detail, _):
            return Applied("lose", detail, is_done, session_id)
        case DestroyInstance(provider, instance_id, _, detail):
            return Applied("destroy", detail, is_done, provider=provider, instance_id=instance_id)
