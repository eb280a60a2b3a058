"""TensorDock's price list as offers: pure, tolerant, and never cheaper than the machine.

`GET /locations` lists each site's GPU models, and a ceiling for how many of them one machine
may have. It is a price list, not stock: only a creation proves an offer. A model becomes
offers of 1 to that many GPUs, each with the size of machine that the creation then asks for.
What the fields mean is in docs/wire/tensordock.md.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from providers.base import Offer, OfferList
from providers.errors import BadResponse
from providers.fields import Row, as_row, flag, identity, number, text, whole
from providers.gpus import gpu_type
from providers.tensordock.hosts import Host
from providers.tensordock.places import place_of
from providers.tensordock.rows import is_model, model_of, rows_of
from providers.tensordock.sizes import LEAST_DISK_GB, Limits, Size, present_traits, size_for

PROVIDER = "tensordock"
PRIOR = 0.3
"""About the share of listed offers that became machines, as others have counted."""

MOST_FORWARDS = 33
"""Ports of one machine, SSH's among them: no limit is known, and one client keeps to these."""

_MOST_GPUS = 16
"""In one machine; a site that claims more has counted several hosts."""
_PROFESSIONAL_TIER = 1
_MEMORY = re.compile(r"(\d{1,3}) ?gb\b", re.IGNORECASE)
_SEPARATOR = "_"
_WITHOUT_HOSTS = "What the hosts have left cannot be read: some of the offers may be taken."


@dataclass(frozen=True, slots=True)
class OfferKey:
    """What the id of an offer says: enough to ask for it again after any refresh."""

    location_id: str
    model: str
    """The marketplace's `v0Name`."""
    count: int

    def __str__(self) -> str:
        return _SEPARATOR.join((self.location_id, self.model, str(self.count)))


@dataclass(frozen=True, slots=True)
class _Prices:
    """USD per hour: of one GPU, one vCPU, one GB of memory and one GB of disk."""

    gpu: Decimal
    vcpu: Decimal
    ram_gb: Decimal
    disk_gb: Decimal

    def of(self, count: int, size: Size) -> Decimal:
        """The whole machine, with the least disk."""
        processors = size.vcpus * self.vcpu + size.ram_gb * self.ram_gb
        return count * self.gpu + processors + LEAST_DISK_GB * self.disk_gb


@dataclass(frozen=True, slots=True)
class _Listing:
    """One GPU model at one site."""

    location_id: str
    model: str
    gpu_type: str
    vram_gb: int
    most: int
    prices: _Prices
    limits: Limits
    has_forwards: bool
    has_addresses: bool
    location: str | None
    country: str | None
    tier: int | None


@dataclass(frozen=True, slots=True)
class _Machine:
    """What can be had of a listing."""

    size: Size
    max_disk_gb: int | None
    is_dedicated: bool
    """It has an address of its own, and only SSH is known to be reachable there."""
    ports: int | None

    @property
    def rank(self) -> tuple[float, ...]:
        """Greater is better."""
        ports = math.inf if self.ports is None else self.ports
        return (not self.is_dedicated, self.size.vcpus, self.size.ram_gb, ports)


def parse_offer_id(provider_id: str) -> OfferKey | None:
    """What `Offer.provider_id` says; None where it is none of this marketplace."""
    location_id, model, count = ("", "", *provider_id.rsplit(_SEPARATOR, 2))[-3:]
    is_count = count.isascii() and count.isdigit() and not count.startswith("0")
    if not location_id or not is_model(model) or not is_count:
        return None
    return OfferKey(location_id, model, int(count))


def parse_market(payload: object, now: datetime, hosts: Sequence[Host] | None = ()) -> OfferList:
    """The offers in the answer of `GET /locations`, with what is known of the hosts behind them.

    A model whose price, limits or identity is not told whole is dropped and counted. Models that
    nobody could rent are left out without being counted. Where the hosts could not be read they
    are None, and the list says so. Raises `BadResponse` on what is no list
    of sites, or has not one model that can be read.
    """
    offers: dict[str, Offer] = {}
    read = dropped = 0
    for listing in _listings(rows_of(payload, "locations")):
        if listing is None:
            dropped += 1
            continue
        read += 1
        for offer in _offers(listing, hosts or (), now):
            offers.setdefault(offer.provider_id, offer)
    if dropped and not read:
        raise BadResponse("None of the GPUs in the marketplace's list can be read.")
    detail = _WITHOUT_HOSTS if hosts is None else ""
    return OfferList(tuple(offers.values()), dropped=dropped, detail=detail)


def _listings(sites: Iterable[Row]) -> Iterable[_Listing | None]:
    """Every model of every site; None for what cannot be read."""
    for site in sites:
        models = site.get("gpus")
        if not isinstance(models, list):
            yield None
            continue
        for model in models:
            yield _listing(site, as_row(model) or {})


def _listing(site: Row, row: Row) -> _Listing | None:
    location_id, model, vram_gb = identity(site, "id"), model_of(row), _vram_gb(row)
    prices, limits, most = _prices(row), _limits(row), whole(row, "max_count")
    if location_id is None or model is None or vram_gb is None:
        return None
    if prices is None or limits is None or most is None:
        return None
    features = as_row(row.get("network_features")) or {}
    location, country = place_of(site)
    return _Listing(
        location_id=location_id,
        model=model,
        gpu_type=_gpu_type(model, text(row, "displayName")),
        vram_gb=vram_gb,
        most=min(most, _MOST_GPUS),
        prices=prices,
        limits=limits,
        has_forwards=flag(features, "port_forwarding_available") is not False,
        has_addresses=flag(features, "dedicated_ip_available") is True,
        location=location,
        country=country,
        tier=whole(site, "tier"),
    )


def _offers(listing: _Listing, hosts: Sequence[Host], now: datetime) -> Iterable[Offer]:
    """One for each number of GPUs that can be had, as far as the hosts tell."""
    site = (listing.location_id, listing.model)
    behind = [host for host in hosts if (host.location_id, host.model) == site]
    candidates: Sequence[Host | None] = behind or [None]
    for count in range(1, listing.most + 1):
        machines = [_machine(listing, host, count) for host in candidates]
        able = [machine for machine in machines if machine is not None]
        if able:
            yield _offer(listing, count, max(able, key=lambda machine: machine.rank), now)


def _machine(listing: _Listing, host: Host | None, count: int) -> _Machine | None:
    """The machine with `count` GPUs that a host has; None where it has none with a way in."""
    limits = listing.limits.within(host.limits) if host else listing.limits
    size = size_for(count, limits)
    if size is None or (host is not None and host.free < count):
        return None
    max_disk_gb = math.floor(limits.disk_gb) if math.isfinite(limits.disk_gb) else None
    ports = host.ports if host else None
    if listing.has_forwards and ports != 0:
        return _Machine(size, max_disk_gb, is_dedicated=False, ports=ports)
    if listing.has_addresses and (host is None or host.has_address is not False):
        return _Machine(size, max_disk_gb, is_dedicated=True, ports=1)
    return None


def _offer(listing: _Listing, count: int, machine: _Machine, now: datetime) -> Offer:
    ports = machine.ports
    return Offer(
        provider=PROVIDER,
        provider_id=str(OfferKey(listing.location_id, listing.model, count)),
        gpu_type=listing.gpu_type,
        gpu_count=count,
        vram_gb=listing.vram_gb,
        price_per_hour=listing.prices.of(count, machine.size),
        disk_price_per_gb_hour=listing.prices.disk_gb,
        fetched_at=now,
        location=listing.location,
        country=listing.country,
        verified=_verified(listing.tier),
        exclusive=False,
        least_disk_gb=LEAST_DISK_GB,
        max_disk_gb=machine.max_disk_gb,
        direct_ports=MOST_FORWARDS if ports is None else min(ports, MOST_FORWARDS),
        has_own_address=machine.is_dedicated,
        traits=present_traits(machine.size),
        prior=PRIOR,
    )


def _verified(tier: int | None) -> bool | None:
    """A home is told from all others, whose GPUs nobody takes back."""
    return None if tier is None else tier >= _PROFESSIONAL_TIER


def _prices(row: Row) -> _Prices | None:
    """All four of them, or none: what is left out would be charged all the same."""
    parts = as_row(row.get("pricing")) or {}
    gpu, vcpu = number(row, "price_per_hr"), number(parts, "per_vcpu_hr")
    ram_gb, disk_gb = number(parts, "per_gb_ram_hr"), number(parts, "per_gb_storage_hr")
    if gpu is None or vcpu is None or ram_gb is None or disk_gb is None:
        return None
    return _Prices(gpu, vcpu, ram_gb, disk_gb) if gpu > 0 <= min(vcpu, ram_gb, disk_gb) else None


def _limits(row: Row) -> Limits | None:
    """The site's limits; None where the size of a machine would be a guess."""
    told = as_row(row.get("resources")) or {}
    vcpus, ram_gb = number(told, "max_vcpus"), number(told, "max_ram_gb")
    if vcpus is None or ram_gb is None:
        return None
    disk_gb = number(told, "max_storage_gb")
    return Limits(float(vcpus), float(ram_gb), math.inf if disk_gb is None else float(disk_gb))


def _gpu_type(model: str, shown: str | None) -> str:
    """By whichever name is known; the shown one may be missing, or the other again."""
    names = [shown, model] if shown else [model]
    return next((kind for name in names if (kind := gpu_type(name)) != name), names[0])


def _vram_gb(row: Row) -> int | None:
    """The memory at the end of the model's name, or in the shown one."""
    names = (text(row, "v0Name"), text(row, "displayName"))
    found = (_MEMORY.search(name) for name in names if name)
    return next((int(match[1]) for match in found if match and int(match[1]) > 0), None)
