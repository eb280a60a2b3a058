"""Opening a session: from a request to a recorded session whose machine is being rented."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Mapping

from broker.decide import lease, moves
from broker.decide.disk import check_disk
from broker.decide.draining import refusal_of
from broker.decide.images import plan_image
from broker.decide.requests import check_offer, check_texts, complete, refuse_what_nobody_can
from broker.decide.select import Needs, check_payable, needs_of
from broker.effects import Effect
from broker.errors import (
    BrokerError,
    Conflict,
    Detail,
    DuplicateSession,
    InsufficientFunds,
    NotFound,
    NotReady,
    ProviderDrains,
    ValidationFailed,
)
from broker.model import (
    Change,
    Confidential,
    Request,
    Session,
    Status,
    Wanted,
)
from broker.usecases.idempotency import Turn
from broker.usecases.inventory import Gone
from broker.usecases.keys import digest, new_keys, new_token
from broker.usecases.launch import Tools, first_attempt
from broker.usecases.opened import Opened, require_opened, stale, warnings_about
from broker.usecases.repeating import Repeating
from broker.usecases.rules import Secrets
from broker.usecases.templates import warnings_about as conditions_not_applied
from broker.usecases.workers import Workers
from providers.base import Offer, Template
from providers.label import SESSION_ID_PREFIX

CREATE_PATIENCE = 20.0
"""Seconds that a creation waits for the provider's word before it answers."""

_ID_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_ID_LENGTH = 12


class Opening:
    """Takes new sessions."""

    def __init__(self, tools: Tools, workers: Workers, repeating: Repeating) -> None:
        self._tools = tools
        self._workers = workers
        self._repeating = repeating
        self.is_open = False
        """Whether new sessions are taken."""
        self._turns = asyncio.Lock()
        self._recording: dict[tuple[str, str], asyncio.Event] = {}
        """Consumer and offer -> set when the session that has claimed it is recorded, or not."""

    async def open(
        self,
        request: Request,
        confidential: Confidential,
        *,
        public_key: str | None,
        disk_gb: int | None,
        turn: Turn,
        is_patient: bool = True,
    ) -> Opened:
        """Record a session, rent its machine, and answer when the provider has.

        The answer comes without the provider's word after `CREATE_PATIENCE`, or at once
        where the consumer is not patient.
        Without `public_key` a key pair is made; without `disk_gb` the disk is the usual one,
        or what the template recommends. `turn` is that of the request: one that was carried
        out before gets its session again. Raises what `broker.errors` names for a request
        that cannot be served. Nothing is recorded unless the request is whole; a session that
        the provider refused is recorded as failed.
        """
        if turn.carried_out is not None:
            session_id, has_own_key = turn.carried_out.session_id, public_key is not None
            return await self._repeating.repeat(session_id, has_own_key=has_own_key)
        if not self.is_open:
            raise NotReady
        await self._turn()
        self._refuse_what_drains(request)
        template = await self._template(request)
        request = complete(request, template, disk_gb)
        check_disk(request, template)
        private_key, public_line = await new_keys(
            public_key, request.ssh_key_type, request.consumer_id
        )
        offer = await self._choose(request, confidential, template)
        told = Secrets(private_key, token := new_token())
        image = plan_image(request, template).image or (template.tagged_image if template else None)
        session = self._new_session(request, offer, image, public_line, token)
        change = await self._launch(
            session, confidential, told, turn, CREATE_PATIENCE if is_patient else 0
        )
        overview = await self._tools.journal.overview(session.id)
        session, attempt = overview.session, overview.attempts[-1]
        require_opened(session, attempt)
        # What was unknown when the answer was due is told, though it may be known by now.
        told_of = change.attempt if change is not None and change.attempt else attempt
        warnings = warnings_about(session, told_of, is_settled=change is not None)
        if template is not None:
            warnings += tuple(conditions_not_applied(template, [offer]))
        return Opened(overview, told, warnings)

    def misnamed(self, given: Mapping[str, object]) -> Iterable[Detail]:
        """Which of these fields of a request name what is not there."""
        return self._tools.inventory.misnamed_provider(given)

    def _refuse_what_drains(self, request: Request) -> None:
        doors = self._tools.doors
        drains = {name: door.drain for name, door in doors.items() if door.drain is not None}
        if (refusal := refusal_of(request, drains, doors)) is not None:
            raise ProviderDrains(refusal)

    async def _turn(self) -> None:
        """Let those who come at the same time go on one by one, the event loop free in between."""
        async with self._turns:
            await asyncio.sleep(0)

    async def _template(self, request: Request) -> Template | None:
        if request.template_hash_id is None:
            return None
        return await self._tools.templates.get(request.template_hash_id)

    async def _choose(
        self, request: Request, confidential: Confidential, template: Template | None
    ) -> Offer:
        """The offer to rent, claimed in our snapshot."""
        tools = self._tools
        provider = _provider_asked_for(request)
        await tools.inventory.ready(provider)
        await tools.funds.ready(provider)
        needs = needs_of(request, confidential, template)
        doors = [door for door in tools.doors.values() if door.drain is None]
        refuse_what_nobody_can(needs, [door.capabilities for door in doors])

        async def claim() -> Offer:
            if request.offer_id is None:
                return self._cheapest(request, confidential, template, needs)
            return await self._named(request, request.offer_id, needs)

        try:
            return await claim()
        except InsufficientFunds:
            if not await tools.funds.look_again():
                raise
        return await claim()

    def _cheapest(
        self,
        request: Request,
        confidential: Confidential,
        template: Template | None,
        needs: Needs,
    ) -> Offer:
        tools = self._tools
        offer = tools.inventory.choose(request, confidential, template, tools.funds.purses())
        if offer is None:
            raise tools.inventory.nothing_fits(request, confidential, template)
        try:
            check_texts(needs, offer.provider, tools.doors[offer.provider].capabilities)
        except ValidationFailed:
            tools.inventory.release(offer)
            raise
        return offer

    async def _named(self, request: Request, offer_id: str, needs: Needs) -> Offer:
        tools = self._tools
        await self._refuse_duplicate(request)
        found = tools.inventory.find(offer_id)
        if isinstance(found, Gone):
            await self._refuse_duplicate(request)
            raise stale(offer_id)
        if found is None:
            raise NotFound.named("offer", offer_id)
        check_offer(found, needs, tools.doors[found.provider].capabilities)
        check_texts(needs, found.provider, tools.doors[found.provider].capabilities)
        check_payable(found, needs, tools.funds.purses())
        if not tools.inventory.claim(found):
            raise stale(found.id)
        return found

    async def _refuse_duplicate(self, request: Request) -> None:
        recording = self._recording.get((request.consumer_id, request.offer_id or ""))
        if recording is not None:
            await recording.wait()
        twin = await self._tools.store.live_session(request.consumer_id, request.offer_id or "")
        if twin is not None:
            raise _duplicate(twin)

    def _new_session(
        self, request: Request, offer: Offer, image: str | None, public_line: str, token: str
    ) -> Session:
        now = self._tools.now()
        hard_max = request.hard_max_override or self._tools.rules.hard_max
        try:
            granted = lease.grant_lease(now, request.reservation, hard_max)
        except BrokerError:
            self._tools.inventory.release(offer)
            raise
        return Session(
            id=SESSION_ID_PREFIX + "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH)),
            request=request,
            status=Status.PENDING,
            wanted=Wanted.RUNNING,
            created_at=now,
            expires_at=granted.expires_at,
            hard_max_at=granted.hard_max_at,
            label_deadline=granted.label_deadline,
            public_key=public_line,
            token_digest=digest(token),
            image=image,
            offer=offer,
            price_per_hour=offer.price_with_disk(request.disk_gb),
        )

    async def _launch(
        self,
        session: Session,
        confidential: Confidential,
        told: Secrets,
        turn: Turn,
        patience: float,
    ) -> Change | None:
        """Record, start the work, and wait until the provider has answered or time is up."""
        tools = self._tools
        attempt = first_attempt(session, tools.rules)
        key = (session.request.consumer_id, session.offer.id)
        recorded = self._recording[key] = asyncio.Event()
        with tools.journal.watch(session.id) as changes:
            # At once: whoever comes while this one is being recorded cannot spend the same money.
            tools.funds.hold(session)
            try:
                record = turn.sign(moves.record(session, attempt), session.created_at)
                await tools.journal.add(record, confidential)
            except DuplicateSession as error:
                self._let_go(session)
                raise _duplicate(error.session_id) from error
            except BaseException:
                self._let_go(session)
                raise
            finally:
                recorded.set()
                self._recording.pop(key, None)
            tools.keyring.keep(session.id, told)
            self._workers.wake(session.id)
            return await changes.until(_is_answered, patience)

    def _let_go(self, session: Session) -> None:
        """Nothing came of it: its offer and its money are free again."""
        self._tools.inventory.release(session.offer)
        self._tools.funds.free(session.id)


def _provider_asked_for(request: Request) -> str | None:
    if request.offer_id is not None:
        return request.offer_id.partition("-")[0]
    return request.criteria.provider


def _is_answered(change: Change) -> bool:
    """Whether the provider's word is in: made, refused for good, or lost."""
    return change.name in {Effect.ACCEPT, Effect.LOSE_REPLY} or change.session.is_final


def _duplicate(session_id: str) -> Conflict:
    return Conflict(
        f"You already have a live session of this offer: {session_id}.",
        extra={"details": {"session_id": session_id}},
    )
