"""From an offer to an instance: the creating call, the search after a lost reply, the next try."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

from broker import errors
from broker.clock import Clock
from broker.decide import moves
from broker.decide.boot import judge_failure
from broker.decide.funds import Purse
from broker.decide.images import plan_image
from broker.decide.lease import overdue
from broker.decide.pauses import growing
from broker.decide.plain import sentence
from broker.decide.watchdog import deadline_of
from broker.effects import Effect
from broker.model import Attempt, Change, Reason, Session, Wanted
from broker.store import Store
from broker.usecases.destructions import Destructions
from broker.usecases.doors import Door
from broker.usecases.fleet import Fleet
from broker.usecases.funds import Funds
from broker.usecases.inventory import Inventory
from broker.usecases.journal import Journal
from broker.usecases.rules import Keyring, Rules
from broker.usecases.templates import Templates
from broker.usecases.workers import Effort
from providers.base import Instance, InstanceStatus, LaunchSpec, Offer, Template
from providers.errors import (
    ImageUnavailable,
    InsufficientFunds,
    NotFound,
    OfferGone,
    OutcomeUnknown,
    ProviderError,
    RateLimited,
    Unavailable,
)
from providers.label import Label

_NOT_WORTH_A_RETRY = frozenset({Reason.IMAGE_UNAVAILABLE})
"""Reasons of machines that any other offer would meet as well."""

_SEARCH_PAUSE = timedelta(seconds=1)
_LONGEST_PAUSE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Tools:
    """What the steps of a session work with."""

    store: Store
    journal: Journal
    doors: Mapping[str, Door]
    fleets: Mapping[str, Fleet]
    inventory: Inventory
    funds: Funds
    destructions: Destructions
    templates: Templates
    keyring: Keyring
    rules: Rules
    clock: Clock

    def now(self) -> datetime:
        """The present instant: for what is promised, and for what is written down."""
        return self.clock.now()

    def steady(self) -> datetime:
        """An instant of a clock that never jumps: for how long something lasts in this process."""
        return self.clock.steady()


def first_attempt(session: Session, rules: Rules) -> Attempt:
    """The attempt that is recorded with a new session."""
    return _attempt(session, 1, session.offer, rules, session.created_at)


def _attempt(session: Session, n: int, offer: Offer, rules: Rules, now: datetime) -> Attempt:
    return Attempt(
        session_id=session.id,
        n=n,
        offer=offer,
        label=str(Label(rules.deployment, session.id, session.label_deadline, n)),
        price_per_hour=offer.price_with_disk(session.request.disk_gb),
        started_at=now,
    )


class Launcher:
    """The steps CREATE, RESOLVE, ABANDON, RETRY and CONCLUDE."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._sent: dict[str, datetime] = {}
        """Label -> when this process sent its creating call, by the steady clock."""
        self._searching: dict[str, datetime] = {}
        """Label -> since when this process looks for its instance, by the steady clock."""
        self._destroyed: dict[str, tuple[Instance, datetime]] = {}
        """Label -> an instance that was destroyed, and when, before it could be written down."""
        tools.journal.listen(self)

    def session_changed(self, change: Change, _: Session) -> None:
        """A journal tells of every change: nothing is looked for once it was found, or given up."""
        attempt = change.attempt
        if attempt is not None and (attempt.instance_id is not None or attempt.is_closed):
            self._sent.pop(attempt.label, None)
            self._searching.pop(attempt.label, None)
            self._destroyed.pop(attempt.label, None)

    async def create(self, session: Session, attempt: Attempt, _effort: Effort) -> None:
        """Call the provider once, and write down which of the three outcomes it was."""
        tools = self._tools
        spec = await self._spec(session, attempt)
        session = await tools.journal.apply(
            session.id, lambda s, a: moves.launch(s, a, tools.now()) if _is_wanted(s) else None
        )
        if not _is_wanted(session):
            return
        try:
            instance = await self._create(attempt, spec)
        except OutcomeUnknown as error:
            detail = str(error)
            await tools.journal.apply(
                session.id, lambda s, a: moves.lose_reply(s, a, detail, tools.now())
            )
        except ProviderError as error:
            await self._refuse(session, attempt, error)
        else:
            await self._accept(session, attempt, instance)

    async def _create(self, attempt: Attempt, spec: LaunchSpec) -> Instance:
        """What the provider makes. What was there before, by another name, is not ours."""
        provider = attempt.offer.provider
        before = self._tools.fleets[provider].latest
        self._sent[attempt.label] = self._tools.steady()
        instance = await self._tools.doors[provider].create(spec)
        known = before.by_id.get(instance.id) if before else None
        if known is not None and known.label != attempt.label:
            raise OutcomeUnknown(f"{provider} answered with machine {known.id}, which is not ours.")
        return instance

    async def _spec(self, session: Session, attempt: Attempt) -> LaunchSpec:
        request = session.request
        plan = plan_image(request)
        confidential = await self._tools.store.confidential(session.id)
        keys = [session.public_key]
        if request.managed_access:
            keys.append(self._tools.keyring.own.public_line)
        return LaunchSpec(
            offer=attempt.offer,
            label=attempt.label,
            public_keys=tuple(keys),
            disk_gb=request.disk_gb,
            launch_mode=request.launch_mode,
            image=plan.image,
            args=plan.args,
            env={**plan.env, **confidential.env},
            on_start=confidential.on_start_cmd or await self._on_start_of_template(session),
            ports=request.exposed_ports,
            template_hash_id=request.template_hash_id,
            watchdog_at=deadline_of(session) if request.watchdog else None,
        )

    async def _on_start_of_template(self, session: Session) -> str | None:
        """What a template starts with, where a watchdog would otherwise take its place."""
        template = await self._template(session) if session.request.watchdog else None
        return template.onstart if template is not None else None

    async def _accept(self, session: Session, attempt: Attempt, instance: Instance) -> None:
        tools = self._tools
        timeout = session.request.ssh_timeout or tools.rules.verify_timeout
        tools.inventory.confirm(attempt.offer, tools.now())
        if instance.status is InstanceStatus.FAILED:
            wrong = judge_failure(session, instance)
            await tools.journal.apply(
                session.id,
                lambda s, a: moves.accept_failed(
                    s, a, self._dated(a, instance), wrong, tools.now()
                ),
            )
            return
        await tools.journal.apply(
            session.id,
            lambda s, a: moves.accept(
                s, self._asked(a), self._dated(a, instance), tools.now(), timeout
            ),
        )

    def _asked(self, attempt: Attempt) -> Attempt:
        """The attempt, and that its instance was destroyed, where that could not be written."""
        if attempt.label not in self._destroyed:
            return attempt
        _, steady = self._destroyed[attempt.label]
        at = self._tools.clock.dated(steady)
        return replace(attempt, destroy_asked_at=at, destroy_accepted_at=at)

    def _dated(self, attempt: Attempt, instance: Instance) -> Instance:
        """The instance, made no sooner than it was asked for, whatever the clocks say."""
        sent_at = self._sent.get(attempt.label)
        if sent_at is None or instance.created_at is None:
            return instance
        asked_at = self._tools.clock.dated(sent_at)
        return replace(instance, created_at=max(instance.created_at, asked_at))

    async def _refuse(self, session: Session, attempt: Attempt, error: ProviderError) -> None:
        tools = self._tools
        reason = _reason(error)
        if reason is Reason.OFFER_GONE:
            tools.inventory.confirm(attempt.offer, tools.now())
        else:
            tools.inventory.release(attempt.offer)
        detail = str(error)
        await tools.journal.apply(
            session.id, lambda s, a: moves.refuse(s, a, reason, detail, tools.now())
        )

    async def resolve(self, session: Session, attempt: Attempt, effort: Effort) -> timedelta | None:
        """Look for the label until the provider has had its time to show an instance."""
        tools = self._tools
        provider = attempt.offer.provider
        since = self._searching.setdefault(attempt.label, tools.steady())
        if attempt.label in self._destroyed:
            await self._accept(session, attempt, self._destroyed[attempt.label][0])
            return None
        try:
            listing = await tools.fleets[provider].fresh()
        except ProviderError:
            return growing(_SEARCH_PAUSE, 2, effort.tries, _LONGEST_PAUSE)
        instance = listing.by_label.get(attempt.label)
        if instance is not None:
            if tools.store.outage is not None and _is_over(session, tools.now()):
                await self._destroy(attempt, instance)
            await self._accept(session, attempt, instance)
            return None
        if listing.asked_steadily_at < since + tools.doors[provider].capabilities.settle:
            return _SEARCH_PAUSE
        tools.inventory.release(attempt.offer)
        await tools.journal.apply(session.id, lambda s, a: moves.bury(s, a, tools.now()))
        return None

    async def _destroy(self, attempt: Attempt, instance: Instance) -> None:
        """Destroy once what cannot even be written down; if that fails, it is found again."""
        with suppress(ProviderError):
            await self._tools.doors[attempt.offer.provider].destroy(instance.id)
            self._destroyed[attempt.label] = instance, self._tools.steady()

    async def abandon(self, session: Session, attempt: Attempt, _effort: Effort) -> None:
        """Close an attempt that was never sent."""
        tools = self._tools
        tools.inventory.release(attempt.offer)
        await tools.journal.apply(session.id, lambda s, a: moves.abandon(s, a, tools.now()))

    async def retry(self, session: Session, attempt: Attempt, _effort: Effort) -> None:
        """Begin another attempt where one was asked for and an offer is left; else give up."""
        tools = self._tools
        detail = attempt.detail or ""
        if _may_retry(session, attempt):
            if await self._stand_in(session, attempt):
                return
            detail = f"{sentence(detail)} No other offer fits.".strip()
        reason = attempt.reason or Reason.INTERNAL_ERROR
        now = tools.now()
        await tools.journal.apply(
            session.id,
            lambda s, a: moves.give_up(s, a, reason, detail, now) if _is_wanted(s) else None,
        )

    async def _stand_in(self, session: Session, attempt: Attempt) -> bool:
        """Record an attempt with another offer; False where none is left."""
        tools = self._tools
        await tools.inventory.ready()
        await tools.funds.ready()
        tried = list((await tools.store.attempts([session.id]))[session.id])
        confidential = await tools.store.confidential(session.id)
        template = await self._template(session)
        purses = self._purses(session, tried)
        while offer := tools.inventory.stand_in(session, tried, confidential, template, purses):
            now = tools.now()
            following = _attempt(session, attempt.n + 1, offer, tools.rules, now)
            try:
                after = await tools.journal.apply(
                    session.id, partial(_begin, following=following, now=now)
                )
            except errors.DuplicateSession:
                # The consumer has this offer already, in another session.
                tools.inventory.release(offer)
                tried.append(following)
                continue
            if after.attempt != following.n:
                tools.inventory.release(offer)
            return True
        return False

    def _purses(self, session: Session, tried: Sequence[Attempt]) -> Mapping[str, Purse]:
        """What the accounts have left for this session; one that could not pay has nothing."""
        poor = {one.offer.provider for one in tried if one.reason is Reason.INSUFFICIENT_FUNDS}
        known = self._tools.funds.purses(without=session.id)
        return {**known, **dict.fromkeys(poor, Purse(Decimal(0)))}

    async def _template(self, session: Session) -> Template | None:
        """The template that was asked for; None where there is none, or none any more."""
        hash_id = session.request.template_hash_id
        if hash_id is None:
            return None
        try:
            return await self._tools.templates.get(hash_id)
        except errors.NotFound:
            return None

    async def conclude(self, session: Session, _attempt: Attempt, _effort: Effort) -> None:
        """Write the final status of a session whose machine is known to be gone."""
        tools = self._tools
        await tools.journal.apply(
            session.id, lambda s, _: moves.conclude(Change(Effect.CONCLUDE, s), tools.now())
        )


def _begin(session: Session, _: Attempt, *, following: Attempt, now: datetime) -> Change | None:
    return moves.retry(session, following, now) if _is_wanted(session) else None


def _is_over(session: Session, now: datetime) -> bool:
    return not _is_wanted(session) or overdue(session, now) is not None


def _is_wanted(session: Session) -> bool:
    return session.wanted is Wanted.RUNNING


def _may_retry(session: Session, attempt: Attempt) -> bool:
    request = session.request
    # What one host refuses to make, another may have.
    was_made = attempt.instance_id is not None
    return (
        request.auto_retry
        and attempt.n <= request.max_retries
        and not (was_made and attempt.reason in _NOT_WORTH_A_RETRY)
    )


def _reason(error: ProviderError) -> Reason:
    match error:
        case OfferGone() | NotFound():
            return Reason.OFFER_GONE
        case InsufficientFunds():
            return Reason.INSUFFICIENT_FUNDS
        case ImageUnavailable():
            return Reason.IMAGE_UNAVAILABLE
        case Unavailable() | RateLimited():
            return Reason.PROVIDER_UNAVAILABLE
        case _:
            return Reason.PROVIDER_REFUSED
