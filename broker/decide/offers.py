"""Which offers a consumer is shown, in which order, and what there is of every GPU type."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from statistics import median

from broker.decide.money import shown
from broker.decide.templates import Condition, holds
from providers.base import INCLUDED_DISK_GB, Offer
from providers.gpus import gpu_key, has_prefix

TRUSTED_RELIABILITY = 0.9
"""From here on a verified offer is rented by criteria; or where its reliability is unknown."""

_COUNTRY_LETTERS = 2


@dataclass(frozen=True, slots=True)
class Listed:
    """An offer as it is shown: with its shown price and how far it is to be believed."""

    offer: Offer
    id: str
    price: Decimal
    """USD per hour with the included disk, six decimals."""
    confidence: float
    machine: str | None = None
    """The same for all offers that exclude each other."""
    passed_over_until: datetime | None = None
    """May lie in the past by now."""

    @property
    def price_per_gpu(self) -> Decimal:
        """USD per hour, six decimals."""
        return shown(self.offer.price_per_hour / self.offer.gpu_count)


@dataclass(frozen=True, slots=True)
class GpuTypes:
    """GPU types as a consumer names them."""

    exact: frozenset[str]
    """Keys of their names, whichever way these are spelled."""
    prefixes: tuple[str, ...]

    def __contains__(self, name: str) -> bool:
        return gpu_key(name) in self.exact or any(has_prefix(name, p) for p in self.prefixes)


def parse_gpu_types(text: str) -> GpuTypes:
    """A comma list of names, spelled in any way; `A100*` takes all that begin with A100."""
    names = _names(text)
    prefixes = tuple(name.removesuffix("*") for name in names if name.endswith("*"))
    exact = frozenset(gpu_key(name) for name in names if not name.endswith("*"))
    return GpuTypes(exact, prefixes)


def near_misses(text: str, offered: Collection[str]) -> dict[str, list[str]]:
    """Names in a comma list that nothing offered has, and the offered names that begin so."""
    known = {gpu_key(name) for name in offered}
    plain = [name for name in _names(text) if any(map(str.isalnum, name)) and name[-1] != "*"]
    missing = [name for name in plain if gpu_key(name) not in known]
    similar = {name: sorted(o for o in offered if has_prefix(o, name)) for name in missing}
    return {name: names for name, names in similar.items() if names}


def _names(text: str) -> list[str]:
    return [name for part in text.split(",") if (name := part.strip())]


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions on what is shown. None is no condition; unknown never fits a condition."""

    provider: str | None = None
    gpu_types: GpuTypes | None = None
    location: str | None = None
    min_gpu_count: int = 1
    gpu_count_exact: int | None = None
    min_vram: int = 0
    """Nominal GB of one GPU."""
    max_price: Decimal | None = None
    min_reliability: float = 0.0
    min_availability_confidence: float = 0.0
    min_cuda: float = 0.0
    verified: bool | None = None
    trusted_only: bool = False
    conditions: tuple[Condition, ...] = ()


def matches(listed: Listed, wanted: Filter, disk_gb: int = INCLUDED_DISK_GB) -> bool:
    """Whether an offer meets every condition, its price taken with that disk."""
    offer = listed.offer
    return (
        (wanted.provider is None or offer.provider == wanted.provider)
        and (wanted.gpu_types is None or offer.gpu_type in wanted.gpu_types)
        and offer.gpu_count >= wanted.min_gpu_count
        and wanted.gpu_count_exact in (None, offer.gpu_count)
        and offer.vram_gb >= wanted.min_vram
        and (wanted.max_price is None or price_of(listed, disk_gb) <= wanted.max_price)
        and listed.confidence >= wanted.min_availability_confidence
        and _reaches(offer.reliability, wanted.min_reliability)
        and _reaches(offer.cuda_version, wanted.min_cuda)
        and (wanted.verified is None or offer.verified is wanted.verified)
        and (not wanted.trusted_only or is_trusted(offer))
        and (wanted.location is None or is_at(offer, wanted.location))
        and all(holds(condition, offer) for condition in wanted.conditions)
    )


def is_trusted(offer: Offer) -> bool:
    """Verified by its marketplace, and reliable as far as is known."""
    return offer.verified is True and (
        offer.reliability is None or offer.reliability >= TRUSTED_RELIABILITY
    )


def price_of(listed: Listed, disk_gb: int) -> Decimal:
    """USD per hour with that disk, as it is shown: six decimals."""
    if disk_gb == INCLUDED_DISK_GB:
        return listed.price
    return shown(listed.offer.price_with_disk(disk_gb))


def _reaches(value: float | None, least: float) -> bool:
    return least <= 0 or (value is not None and value >= least)


def is_at(offer: Offer, location: str) -> bool:
    """Two letters mean exactly that country, anything else a part of the place's name."""
    wanted = location.strip()
    if len(wanted) == _COUNTRY_LETTERS and wanted.isascii() and wanted.isalpha():
        return offer.country == wanted.upper()
    return offer.location is not None and wanted.casefold() in offer.location.casefold()


DEFAULT_SORT = "price_per_hour"

_SORT_KEYS: Mapping[str, Callable[[Listed], Decimal | float | None]] = {
    "price_per_hour": lambda listed: listed.price,
    "price_per_gpu_hour": lambda listed: listed.price_per_gpu,
    "reliability": lambda listed: listed.offer.reliability,
    "vram_gb": lambda listed: listed.offer.vram_gb,
    "gpu_count": lambda listed: listed.offer.gpu_count,
}

SORTS = tuple(sign + name for name in _SORT_KEYS for sign in ("", "-"))
"""What offers can be sorted by; `-` descends."""


def sort_listed(rows: Iterable[Listed], sort: str = DEFAULT_SORT) -> list[Listed]:
    """By one of `SORTS`, ties by id; what is unknown comes last."""
    value_of = _SORT_KEYS[sort.removeprefix("-")]
    sign = -1 if sort.startswith("-") else 1

    def order(listed: Listed) -> tuple[bool, Decimal | float, str]:
        value = value_of(listed)
        return value is None, sign * (value or 0), listed.id

    return sorted(rows, key=order)


@dataclass(frozen=True, slots=True)
class GpuMarket:
    """What there is of one GPU type. Figures are None where there is nothing."""

    gpu_type: str
    vram_gb: int | None
    """Of one GPU; the least where a type comes in several sizes."""
    offers: int
    gpus: int
    min_price_per_gpu_hour: Decimal | None
    median_price_per_gpu_hour: Decimal | None
    providers: tuple[str, ...]


def markets_of(rows: Iterable[Listed]) -> list[GpuMarket]:
    """The market of every GPU type that is offered, by name."""
    groups: dict[str, list[Listed]] = defaultdict(list)
    for row in rows:
        groups[row.offer.gpu_type].append(row)
    return [market_of(name, groups[name]) for name in sorted(groups)]


def market_of(name: str, rows: Sequence[Listed]) -> GpuMarket:
    """The market of one GPU type, given all its offers."""
    prices = [row.price_per_gpu for row in rows]
    return GpuMarket(
        gpu_type=name,
        vram_gb=min((row.offer.vram_gb for row in rows), default=None),
        offers=len(rows),
        gpus=sum(row.offer.gpu_count for row in rows),
        min_price_per_gpu_hour=min(prices, default=None),
        median_price_per_gpu_hour=shown(median(prices)) if prices else None,
        providers=tuple(sorted({row.offer.provider for row in rows})),
    )
