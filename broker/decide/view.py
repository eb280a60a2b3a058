"""One market out of the readings of all providers: sorted once, asked many times."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain

from broker.decide.confidence import FailureMemory, confidence
from broker.decide.money import shown
from broker.decide.offers import GpuTypes, Listed, sort_listed
from broker.decide.places import PlaceMemory
from providers.base import Offer


@dataclass(frozen=True, slots=True)
class Source:
    """The offers of one provider, and how far their age lets them be believed."""

    offers: Sequence[Offer]
    age_factor: float


@dataclass(frozen=True, slots=True)
class View:
    """Every offer of an instant, the cheapest first, ties by id."""

    rows: Sequence[Listed] = ()
    by_id: Mapping[str, Listed] = field(default_factory=dict)
    by_gpu_type: Mapping[str, Sequence[Listed]] = field(default_factory=dict)

    def of(self, wanted: GpuTypes | None) -> Iterable[Listed]:
        """The offers of these GPU types, of one type in the order of the view."""
        if wanted is None:
            return self.rows
        names = [name for name in self.by_gpu_type if name in wanted]
        return chain.from_iterable(self.by_gpu_type[name] for name in names)


def view_of(
    sources: Iterable[Source], memory: FailureMemory, places: PlaceMemory, now: datetime
) -> View:
    """The market that these readings make, as far as what became of it lets it be believed."""
    by_id = {
        offer.id: _list(offer, source.age_factor, memory, places, now)
        for source in sources
        for offer in source.offers
    }
    rows = sort_listed(by_id.values())
    by_gpu_type: dict[str, list[Listed]] = defaultdict(list)
    for row in rows:
        by_gpu_type[row.offer.gpu_type].append(row)
    return View(rows, by_id, dict(by_gpu_type))


def machine_of(offer: Offer) -> str | None:
    """What all offers of one machine have in common; no offer has it as its id."""
    return None if offer.machine_id is None else f"{offer.provider}/{offer.machine_id}"


def _list(
    offer: Offer, age_factor: float, memory: FailureMemory, places: PlaceMemory, now: datetime
) -> Listed:
    record = memory.for_offer(offer, now)
    return Listed(
        offer=offer,
        id=offer.id,
        price=shown(offer.price_per_hour),
        confidence=confidence(places.prior(offer, now), age_factor, record.recent),
        machine=machine_of(offer),
        passed_over_until=record.passed_over_until,
    )
