"""The offers of the simulated market: pure, and the same in every process.

The default market is made from a seed. Its drift is a function of the seed and of how
many drift periods have passed since the epoch, so that two processes, and one before
and after a restart, see the same market at the same instant. A recorded market stands
still.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TypeVar

from providers.base import INCLUDED_DISK_GB, Offer
from providers.simulator.catalog import SUPPLY, nominal_gb
from providers.vast_market import parse_market

PROVIDER = "simulator"

T = TypeVar("T")

_LOWEST, _HIGHEST = Decimal("0.05"), Decimal(30)
_CENT_OF_CENT = Decimal("0.0001")
_FIRST_OFFER, _FIRST_HOST = 1_000_001, 20_001
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLACES = (
    *("California, US", "Texas, US", "Virginia, US", "Washington, US", "Quebec, CA", "Ontario, CA"),
    *("Sweden, SE", "Norway, NO", "Finland, FI", "Netherlands, NL", "Germany, DE", "France, FR"),
    *(
        "United Kingdom, GB",
        "Spain, ES",
        "Czechia, CZ",
        "Poland, PL",
        "Bulgaria, BG",
        "Iceland, IS",
    ),
    *("Türkiye, TR", "India, IN", "Japan, JP", "South Korea, KR", "Taiwan, TW", "Singapore, SG"),
    *("Vietnam, VN", "Australia, AU", "Brazil, BR", "Iceland, IS", "US", None),
)
_CUDA_VERSIONS = (11.8, 12.2, 12.4, 12.4, 12.6, 12.8, 12.8, 13.0, None)
_VERIFIED = 0.8
"""The share of offers that the marketplace vouches for."""
_DISKS_GB = (200, 400, 800, 1200, 2000, 4000)

_MOVE = Decimal("0.02")
"""The most that drift moves a price: two moves stay below the usual price tolerance."""
_AWAY = 0.01
"""The share of offers that drift has taken off the market."""
_PERIODS_AWAY = 10
"""For how many periods in a row an offer stays away."""


class Market:
    """Every offer that can be rented when nobody has rented anything."""

    def __init__(self, offers: Sequence[Offer], *, drift: timedelta, seed: int) -> None:
        self._offers = offers
        self._drift = drift
        self._seed = seed
        self._period: int | None = None
        self._now: Mapping[str, Offer] = {}

    def at(self, now: datetime) -> Mapping[str, Offer]:
        """The offers on the market at `now`, by provider id, in a stable order."""
        period = (now - _EPOCH) // self._drift if self._drift else 0
        if period != self._period:
            offers = self._moved(period) if self._drift else self._offers
            self._now = {offer.provider_id: offer for offer in offers}
            self._period = period
        return self._now

    def _moved(self, period: int) -> Iterator[Offer]:
        for offer in self._offers:
            if not self._is_away(offer, period):
                change = _MOVE * Decimal(2 * self._chance(offer, "price", period) - 1)
                price = (offer.price_per_hour * (1 + change)).quantize(_CENT_OF_CENT)
                yield replace(offer, price_per_hour=max(price, _LOWEST))

    def _is_away(self, offer: Offer, period: int) -> bool:
        # Each offer has a phase of its own, so that they do not all change at once.
        phase = int(_PERIODS_AWAY * self._chance(offer, "phase", 0))
        return self._chance(offer, "away", (period + phase) // _PERIODS_AWAY) < _AWAY

    def _chance(self, offer: Offer, what: str, period: int) -> float:
        """Between 0 and 1, the same for the same question in every process."""
        question = f"{self._seed}:{offer.provider_id}:{what}:{period}"
        digest = hashlib.blake2b(question.encode(), digest_size=7).digest()
        return int.from_bytes(digest) / 2**56


def default_market(*, seed: int, offers: int, drift: timedelta) -> Market:
    """A market of `offers` machines, each with one offer, made from `seed`."""
    chance = random.Random(seed)
    types = list(SUPPLY)
    weights = [SUPPLY[name].weight for name in types]
    return Market(
        [
            # Every type once, before the weights decide.
            _offer(n, types[n] if n < len(types) else chance.choices(types, weights)[0], chance)
            for n in range(offers)
        ],
        drift=drift,
        seed=seed,
    )


def recorded_market(payload: object) -> Market:
    """The market in a search answer of Vast.ai. Raises `BadResponse` where there is none."""
    offers = parse_market(payload, provider=PROVIDER, now=_EPOCH).offers
    return Market(offers, drift=timedelta(), seed=0)


def host_of(offer: Offer) -> str:
    """What can be rented once: the host of the offer, or the offer itself where it has none."""
    return offer.machine_id or f"offer {offer.provider_id}"


def _offer(n: int, gpu_type: str, chance: random.Random) -> Offer:
    """The offer number `n`; always the same draws, so that it does not depend on the others."""
    supply = SUPPLY[gpu_type]
    count = supply.counts[int(len(supply.counts) * chance.random() ** 2)]
    draw = Decimal(f"{chance.random():.4f}")
    disk_price = Decimal(int(100 + 200 * chance.random())).scaleb(-6)
    price = count * (supply.low + draw * (supply.high - supply.low)) + INCLUDED_DISK_GB * disk_price
    verified = chance.random() < _VERIFIED
    reliability = (0.95 if verified else 0.80) + 0.049 * chance.random()
    place = _pick(_PLACES, chance)
    return Offer(
        provider=PROVIDER,
        provider_id=str(_FIRST_OFFER + n),
        gpu_type=gpu_type,
        gpu_count=count,
        vram_gb=nominal_gb(gpu_type),
        price_per_hour=min(max(price.quantize(_CENT_OF_CENT), _LOWEST), _HIGHEST),
        disk_price_per_gb_hour=disk_price,
        fetched_at=_EPOCH,
        location=place,
        country=place[-2:] if place else None,
        machine_id=str(_FIRST_HOST + n),
        reliability=_pick((*[round(reliability, 4)] * 11, None), chance),
        verified=verified,
        cuda_version=_pick(_CUDA_VERSIONS, chance),
        max_disk_gb=_pick(_DISKS_GB, chance),
    )


def _pick(choices: Sequence[T], chance: random.Random) -> T:
    return choices[int(len(choices) * chance.random())]
