"""Whether the credit of an account pays for something new, beside what is rented already."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from broker.decide.lease import due_at
from broker.decide.money import price_of, shown
from broker.decide.plain import plain
from broker.errors import InsufficientFunds
from broker.model import Event, Session, Wanted
from providers.base import Offer

BELIEVED_FOR = timedelta(minutes=5)
"""A credit that was read longer ago says nothing about now, and refuses nothing."""


@dataclass(frozen=True, slots=True)
class Credit:
    """What an account could spend when it was asked. USD."""

    amount: Decimal
    read_at: datetime

    def is_believed(self, now: datetime) -> bool:
        """Whether it still says something about now."""
        return now - self.read_at <= BELIEVED_FOR


@dataclass(frozen=True, slots=True)
class Floor:
    """What of a provider's balance nothing new is rented for. USD."""

    provider: str
    amount: Decimal = Decimal(0)

    def is_above(self, credit: Credit) -> bool:
        """Whether the balance has fallen below it."""
        return credit.amount < self.amount

    def shortage(self, credit: Credit) -> str:
        """A sentence about a balance below it: what, why, what to do."""
        return (
            f"The balance of {self.provider}, {_dollars(credit.amount)}, is below the floor of "
            f"{_dollars(self.amount)}: nothing is rented there until somebody pays in."
        )


def floor_event(floor: Floor, credit: Credit) -> Event:
    """The balance has fallen below its floor, or is above it again."""
    kind = "balance.below_floor" if floor.is_above(credit) else "balance.recovered"
    data = {"provider": floor.provider, "balance": credit.amount, "floor": floor.amount}
    return Event(kind, credit.read_at, data={key: plain(value) for key, value in data.items()})


@dataclass(frozen=True, slots=True)
class Commitment:
    """What a live session costs until its end."""

    provider: str
    price_per_hour: Decimal
    begins_at: datetime
    ends_at: datetime

    def cost_after(self, instant: datetime) -> Decimal:
        """USD from `instant` on."""
        left = self.ends_at - max(self.begins_at, instant)
        return price_of(self.price_per_hour, max(left, timedelta(0)))


@dataclass(frozen=True, slots=True)
class Purse:
    """An account's credit, and what of it nothing new may be rented for. USD."""

    credit: Decimal
    committed: Decimal = Decimal(0)
    """What live sessions need until their ends."""
    floor: Decimal = Decimal(0)
    """What stays in the account."""

    def pays(self, cost: Decimal) -> bool:
        """Whether the credit is enough for `cost` beside all that."""
        return self.committed + cost <= self.credit - self.floor


def commitment_of(session: Session) -> Commitment | None:
    """What the session costs until its end; None where its end was asked for."""
    if session.wanted is Wanted.GONE:
        return None
    return Commitment(
        provider=session.offer.provider,
        price_per_hour=session.price_per_hour,
        begins_at=session.created_at,
        ends_at=due_at(session),
    )


def purse_of(
    provider: str,
    credit: Credit | None,
    commitments: Iterable[Commitment],
    now: datetime,
    floor: Decimal = Decimal(0),
) -> Purse | None:
    """What is known of the provider's account; None where its credit is not known well enough.

    The credit is that of its reading: what sessions have cost since then is not off it yet.
    `floor` is what nothing new may be rented for.
    """
    if credit is None or not credit.is_believed(now):
        return None
    costs = (
        commitment.cost_after(credit.read_at)
        for commitment in commitments
        if commitment.provider == provider
    )
    return Purse(credit.amount, sum(costs, Decimal(0)), floor)


def reservation_cost(offer: Offer, disk_gb: int, reservation: timedelta) -> Decimal:
    """USD for the whole reservation of `offer` with that disk."""
    return price_of(offer.price_with_disk(disk_gb), reservation)


def check_purse(purse: Purse | None, provider: str, what: str, cost: Decimal) -> None:
    """Raise InsufficientFunds, with the figures, where the credit is known and not enough.

    `what` costs `cost`: "1 h of vastai-1234".
    """
    if purse is None or purse.pays(cost):
        return
    floor = f", of which {_dollars(purse.floor)} must stay there" if purse.floor else ""
    held = f", and live sessions need {_dollars(purse.committed)} of it until their ends"
    raise InsufficientFunds(
        f"The credit at {provider} is {_dollars(purse.credit)}{floor}"
        f"{held if purse.committed else ''}; {what} costs {_dollars(cost)}. "
        "Pay in, or ask for less."
    )


def _dollars(amount: Decimal) -> str:
    """With cents, and finer where that is needed to tell amounts apart."""
    whole, _, fraction = f"{shown(abs(amount)):f}".partition(".")
    sign = "-" if amount < 0 else ""
    return f"{sign}${whole}.{fraction.rstrip('0'):0<2}"
