"""Reading a search answer of Vast.ai: pure, tolerant, and never guessing.

Every field is optional on the wire and some are nonsense, so a value that cannot be
true is unknown, and a row without an identity, a GPU or a price is dropped and counted.
Rows that nobody could rent with the included disk are left out without being counted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from providers.base import INCLUDED_DISK_GB, Offer, OfferList
from providers.errors import BadResponse
from providers.gpus import gpu_type, nominal_vram_gb

_HOURS_PER_MONTH = 720
"""Vast.ai bills a month of disk as 720 hours."""
_HIGHEST_CUDA = 50
"""Above it a "CUDA version" is a driver version in the wrong field."""
_FOREVER = timedelta(days=365 * 1000)
"""A longer duration is no limit."""
_LARGEST = 1e15
"""Above it no number of an offer makes sense, and arithmetic may overflow."""
_COUNTRY = re.compile(r"[A-Z]{2}")
_WORD = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DRIVER = re.compile(r"(\d{1,3})\.(\d{1,3})(?:\.(\d{1,3}))?")
_LONGEST_TRAIT = 64
_TRAITS = (
    *("bw_nvlink", "compute_cap", "cpu_arch", "cpu_cores", "cpu_cores_effective", "cpu_ghz"),
    *("cpu_name", "cpu_ram", "cuda_max_good", "direct_port_count", "disk_bw", "disk_space"),
    *("dlperf", "dlperf_per_dphtotal", "dph_base", "dph_total", "duration"),
    *("flops_per_dphtotal", "gpu_arch", "gpu_display_active", "gpu_frac", "gpu_lanes"),
    *("gpu_max_power", "gpu_mem_bw", "gpu_name", "gpu_ram", "gpu_total_ram", "has_avx"),
    *("hosting_type", "inet_down", "inet_down_cost", "inet_up", "inet_up_cost", "min_bid"),
    *("num_gpus", "os_version", "pci_gen", "pcie_bw", "reliability", "reliability2"),
    *("static_ip", "storage_cost", "total_flops", "verification", "vms_enabled"),
)
"""The fields of a row that a template's conditions may ask about."""

Row = Mapping[str, Any]


def parse_market(payload: object, *, provider: str, now: datetime) -> OfferList:
    """The offers in `payload`: `{"offers": [...]}` or a bare list of rows.

    Raises `BadResponse` on what is no market at all, or has not one row that can be read.
    """
    rows = _rows(payload)
    offers: dict[str, Offer] = {}
    dropped = 0
    for row in rows:
        offer = _parse_offer(row, provider, now)
        if offer is None or offer.provider_id in offers:
            dropped += 1
        elif _is_rentable(row, offer):
            offers[offer.provider_id] = offer
    if rows and dropped == len(rows):
        raise BadResponse("None of the rows in the market's answer can be read.")
    return OfferList(tuple(offers.values()), dropped=dropped)


def _rows(payload: object) -> list[Row]:
    """The rows, whatever they are wrapped in; what is no row becomes an empty one."""
    rows = payload.get("offers") if isinstance(payload, Mapping) else payload
    if not isinstance(rows, list):
        raise BadResponse("The market's answer holds no list of offers.")
    return [row if isinstance(row, Mapping) else {} for row in rows]


def _parse_offer(row: Row, provider: str, now: datetime) -> Offer | None:
    """One row, rentable or not; None where it has no identity, GPU or price."""
    provider_id = _identity(row, "id", "ask_contract_id")
    name = row.get("gpu_name")
    count = _number(row, "num_gpus")
    memory = _number(row, "gpu_ram")
    price, disk_price = _base_price(row), _disk_price(row)
    if provider_id is None or not isinstance(name, str) or not name.strip():
        return None
    if count is None or count < 1 or memory is None or memory < 1:
        return None
    if price is None or disk_price is None:
        return None
    location, country = _place(row.get("geolocation"))
    verified = _verified(row)
    return Offer(
        provider=provider,
        provider_id=provider_id,
        gpu_type=gpu_type(name),
        gpu_count=int(count),
        vram_gb=nominal_vram_gb(int(memory)),
        price_per_hour=price + INCLUDED_DISK_GB * disk_price,
        disk_price_per_gb_hour=disk_price,
        fetched_at=now,
        location=location,
        country=country,
        machine_id=_identity(row, "machine_id"),
        reliability=_share(row, "reliability2", "reliability"),
        verified=verified,
        cuda_version=_cuda(row),
        interruptible=row.get("is_bid") is True,
        max_disk_gb=_whole(row, "disk_space"),
        max_duration=_duration(row),
        direct_ports=_whole(row, "direct_port_count"),
        traits=_traits(row, country, verified),
    )


def _is_rentable(row: Row, offer: Offer) -> bool:
    """Whether somebody could rent it now, here, with the included disk."""
    if row.get("rentable") is False or row.get("rented") is True or row.get("external") is True:
        return False
    if offer.max_duration is not None and offer.max_duration <= timedelta():
        return False
    return offer.max_disk_gb is None or offer.max_disk_gb >= INCLUDED_DISK_GB


def _base_price(row: Row) -> Decimal | None:
    """USD per hour without disk, if the row tells one that somebody could ask for."""
    price = _money(row, "dph_base")
    if price is None:
        total = _money(row, "dph_total")
        price = total and total - (_money(row, "storage_total_cost") or Decimal())
    return price if price is not None and price > 0 else None


def _disk_price(row: Row) -> Decimal | None:
    """USD per GB and hour; zero where the row tells none, None where it is nonsense."""
    if row.get("storage_cost") is None:
        return Decimal()
    monthly = _money(row, "storage_cost")
    return monthly / _HOURS_PER_MONTH if monthly is not None and monthly >= 0 else None


def _place(text: object) -> tuple[str | None, str | None]:
    """`Quebec, CA` -> ("Quebec, CA", "CA"); the region before the comma may be missing."""
    if not isinstance(text, str) or not text.strip(" ,"):
        return None, None
    country = text.rpartition(",")[2].strip().upper()
    return text.strip(" ,"), country if _COUNTRY.fullmatch(country) else None


def _verified(row: Row) -> bool | None:
    """Whether the marketplace vouches for the host; None where it says nothing."""
    word = row.get("verification")
    if isinstance(word, str):
        return word == "verified"
    flag = row.get("verified")
    return flag if isinstance(flag, bool) else None


def _traits(row: Row, country: str | None, verified: bool | None) -> dict[str, str | float | bool]:
    """What is told of `_TRAITS`, and the fields that conditions spell in another way."""
    found = {name: _trait(row, name) for name in _TRAITS}
    found |= {"geolocation": country, "verified": verified}
    found["driver_version"] = found["driver_vers"] = _driver(row.get("driver_version"))
    hosting = _number(row, "hosting_type")
    found["datacenter"] = None if hosting is None else hosting == 1
    return {name: value for name, value in found.items() if value is not None}


def _trait(row: Row, name: str) -> str | float | bool | None:
    """A short text, a flag or a sensible number."""
    value = row.get(name)
    if isinstance(value, str):
        return value.strip() if 0 < len(value.strip()) <= _LONGEST_TRAIT else None
    return value if isinstance(value, bool) else _number(row, name)


def _driver(text: object) -> int | None:
    """`535.183.01` as conditions have it: 535183001. The row's own number is often another's."""
    parts = _DRIVER.fullmatch(text.strip()) if isinstance(text, str) else None
    if parts is None:
        return None
    major, minor, patch = (int(part) for part in parts.groups("0"))
    return (major * 1000 + minor) * 1000 + patch


def _cuda(row: Row) -> float | None:
    """The highest CUDA version that the driver supports."""
    version = _number(row, "cuda_max_good")
    return float(version) if version is not None and 0 < version < _HIGHEST_CUDA else None


def _duration(row: Row) -> timedelta | None:
    """How long the host still offers it. `end_date` is not read: it grows stale."""
    seconds = _number(row, "duration")
    if seconds is None or seconds > _FOREVER.total_seconds():
        return None
    return timedelta(seconds=max(seconds, 0))


def _share(row: Row, *names: str) -> float | None:
    """The first of `names` that is a share between 0 and 1."""
    values = (_number(row, name) for name in names)
    return next((float(value) for value in values if value is not None and 0 <= value <= 1), None)


def _whole(row: Row, name: str) -> int | None:
    """A number rounded down, never below zero."""
    value = _number(row, name)
    return None if value is None else max(math.floor(value), 0)


def _identity(row: Row, *names: str) -> str | None:
    """The first of `names` that can identify something: a whole number or a text."""
    values = (row.get(name) for name in names)
    return next((str(value) for value in values if _is_identity(value)), None)


def _is_identity(value: object) -> bool:
    if isinstance(value, str):
        return _WORD.fullmatch(value) is not None  # it becomes part of a path
    return isinstance(value, int) and not isinstance(value, bool)


def _money(row: Row, name: str) -> Decimal | None:
    """An amount, without the noise of binary floats."""
    value = _number(row, name)
    return None if value is None else Decimal(str(value))


def _number(row: Row, name: str) -> float | None:
    """A number of a sensible size; anything else that stands there is unknown."""
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if -_LARGEST < value < _LARGEST else None
