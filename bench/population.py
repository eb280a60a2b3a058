"""Many running sessions at once, written straight through the store; their machines are rented.

Every session is what the broker itself would have written, by the same moves, in one
transaction instead of five.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from broker.app.build import Parts
from broker.decide import moves
from broker.decide.lease import grant_lease
from broker.effects import Effect
from broker.model import (
    Attempt,
    Change,
    Confidential,
    KeyType,
    Request,
    Session,
    Status,
    Wanted,
    WorkloadType,
)
from broker.ssh.keys import generate
from broker.usecases.launch import first_attempt
from providers.base import LaunchSpec, Offer

_AT_ONCE = 250
_RESERVATION = timedelta(hours=8)
_AGE = timedelta(minutes=1)
"""How long the sessions have been running."""

_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


async def populate(parts: Parts, count: int) -> list[str]:
    """Add `count` running sessions; their ids."""
    (provider,) = parts.providers.values()
    offers = (await provider.list_offers()).offers[:count]
    assert len(offers) == count, "the market has not enough offers"
    public_key = generate(KeyType.ED25519, "bench").public_line
    ids: list[str] = []
    for first in range(0, count, _AT_ONCE):
        batch: Sequence[Offer] = offers[first : first + _AT_ONCE]
        added = (_add(parts, first + n, offer, public_key) for n, offer in enumerate(batch))
        ids += await asyncio.gather(*added)
    return ids


async def _add(parts: Parts, number: int, offer: Offer, public_key: str) -> str:
    session = _session(parts, number, offer, public_key)
    attempt = first_attempt(session, parts.tools.rules)
    (provider,) = parts.providers.values()
    instance = await provider.create(
        LaunchSpec(offer=offer, label=attempt.label, public_keys=(public_key,))
    )
    began, now = session.created_at, session.created_at + timedelta(seconds=5)
    timeout = parts.tools.rules.verify_timeout
    recorded = moves.record(session, attempt)
    launched = moves.launch(session, attempt, began)
    accepted = moves.accept(*_after(launched), instance, began, timeout)
    verified = moves.verify(*_after(accepted), session.access, {"proof": "ssh"}, now)
    events = [event for one in (recorded, launched, accepted, verified) for event in one.events]
    change = replace(verified, name=Effect.RECORD, events=tuple(events), accrual=accepted.accrual)
    await parts.tools.store.add_session(change, Confidential())
    return session.id


def _after(change: Change) -> tuple[Session, Attempt]:
    assert change.attempt
    return change.session, change.attempt


def _session(parts: Parts, number: int, offer: Offer, public_key: str) -> Session:
    began = parts.tools.now() - _AGE
    request = Request(f"consumer-{number}", WorkloadType.LLM, _RESERVATION, offer_id=offer.id)
    lease = grant_lease(began, _RESERVATION, parts.tools.rules.hard_max)
    return Session(
        id=f"sess-{_word(number)}",
        request=request,
        status=Status.PENDING,
        wanted=Wanted.RUNNING,
        created_at=began,
        expires_at=lease.expires_at,
        hard_max_at=lease.hard_max_at,
        label_deadline=lease.label_deadline,
        public_key=public_key,
        token_digest="0" * 64,
        offer=offer,
        price_per_hour=offer.price_per_hour,
    )


def _word(number: int) -> str:
    """A different word of twelve letters for every number."""
    letters = [_LETTERS[number >> shift & 31] for shift in range(0, 60, 5)]
    return "".join(reversed(letters))
