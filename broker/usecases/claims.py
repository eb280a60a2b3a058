"""Which offers are taken by our own sessions, before the marketplace's list shows it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from broker.decide.offers import Listed
from broker.decide.view import machine_of
from providers.base import Offer


@dataclass(slots=True)
class _Claim:
    offer: Offer
    confirmed_at: datetime | None = None
    """When the provider had accepted the creation, or called the offer gone."""
    set_by: timedelta = timedelta()
    """How far the clock was set since then."""

    def is_shown_by(self, begun_at: datetime) -> bool:
        """Whether a reading that began then knows what was confirmed."""
        return self.confirmed_at is not None and self.confirmed_at + self.set_by < begun_at


class Claims:
    """The offers that are taken. Nothing here waits, so two callers never get the same one."""

    def __init__(self) -> None:
        self._by_offer: dict[str, _Claim] = {}
        self._taken: set[str] = set()
        self.version = 0
        """Counts the changes."""

    def claim(self, offer: Offer) -> bool:
        """Take an offer and its machine; False where either is taken. Others stand for many."""
        if not offer.exclusive:
            return True
        keys = _keys(offer)
        if not self._taken.isdisjoint(keys):
            return False
        self._by_offer[offer.id] = _Claim(offer)
        self._taken.update(keys)
        self.version += 1
        return True

    def confirm(self, offer: Offer, at: datetime) -> None:
        """From `at` on the marketplace knows: the next reading that begins later decides."""
        if (claim := self._by_offer.get(offer.id)) is not None:
            claim.confirmed_at, claim.set_by = at, timedelta()

    def release(self, offer: Offer) -> None:
        """Give an offer back, if it is taken: nothing of ours is on it."""
        if offer.id in self._by_offer:
            self._drop(offer.id)

    def vacate(self, offer: Offer, accepted_at: datetime) -> None:
        """Give an offer back whose machine, accepted then, is gone; unless it was taken again."""
        claim = self._by_offer.get(offer.id)
        if claim and claim.confirmed_at is not None and claim.confirmed_at <= accepted_at:
            self._drop(offer.id)

    def read(self, provider: str, begun_at: datetime) -> None:
        """A reading of `provider` that began then shows what was confirmed before."""
        seen = [
            offer_id
            for offer_id, claim in self._by_offer.items()
            if claim.offer.provider == provider and claim.is_shown_by(begun_at)
        ]
        for offer_id in seen:
            self._drop(offer_id)

    def clock_set(self, by: timedelta) -> None:
        """Readings go by the clock as it is from now on."""
        for claim in self._by_offer.values():
            claim.set_by += by

    def is_taken(self, listed: Listed) -> bool:
        """Whether an offer or its machine is taken."""
        return listed.id in self._taken or listed.machine in self._taken

    def free(self, rows: Iterable[Listed]) -> list[Listed]:
        """Those that are not taken."""
        taken = self._taken  # a whole market is looked through for every creation
        return [row for row in rows if row.id not in taken and row.machine not in taken]

    def _drop(self, offer_id: str) -> None:
        self._taken.difference_update(_keys(self._by_offer.pop(offer_id).offer))
        self.version += 1


def _keys(offer: Offer) -> set[str]:
    machine = machine_of(offer)
    return {offer.id} if machine is None else {offer.id, machine}
