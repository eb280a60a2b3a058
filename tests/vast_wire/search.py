"""What a search answers: filters, order, price of the disk, and never more than 64 rows. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tests.vast_wire.filters import OPERATORS, Filters, holds, in_order
from tests.vast_wire.refusals import invalid
from tests.wire.answers import Body as Row

MOST_ROWS = 64
DEFAULT_DISK_GB = 8.0
HOURS_PER_MONTH = 720

_BESIDE = frozenset(
    {"limit", "order", "type", "allocated_storage", "select_cols", "disable_bundling", "q"}
)
_IS_FALSE_WHEN_NULL = frozenset({"external", "rentable", "rented"})
_IGNORED = frozenset({"rented"})
"""The service does not look at it."""
_TYPES = frozenset({"on-demand", "ondemand", "bid", "reserved"})


def search(rows: Iterable[Row], query: Mapping[str, Any], now: float) -> list[Row]:
    """The rows that `query` finds, as they are told at `now`."""
    wanted_type = query.get("type") or "on-demand"
    if wanted_type not in _TYPES:
        raise invalid(f"Invalid args: type {wanted_type}")
    disk = float(query.get("allocated_storage") or DEFAULT_DISK_GB)
    told = [_told(row, disk, now, is_bid=wanted_type == "bid") for row in rows]
    filters = {
        name: condition
        for name, condition in query.items()
        if name not in _BESIDE and isinstance(condition, Mapping)
    }
    known = frozenset(name for row in told for name in row) | _COMPUTED.keys()
    unknown = {name for one in filters.values() for name in one} - OPERATORS
    if unknown:
        raise invalid(f"Invalid args: unknown operator {min(unknown)}", "invalid_request")
    found = [row for row in told if _fits(row, filters, known)]
    order = query.get("order") or [["score", "desc"]]
    return in_order(found, [(one[0], one[-1]) for one in order])[: _limit(query.get("limit"))]


def priced(row: Mapping[str, Any], disk_gb: float) -> Row:
    """The prices of an offer with a disk of that size; nothing where the row lacks its own."""
    base, monthly = row.get("dph_base"), row.get("storage_cost")
    if not isinstance(base, int | float) or not isinstance(monthly, int | float):
        return {}
    disk = disk_gb * monthly / HOURS_PER_MONTH
    return {
        "storage_total_cost": disk,
        "dph_total": base + disk,
        "dph_total_adj": base + disk,
        "discounted_dph_total": base + disk,
        "search": _hourly(base, disk),
        "instance": _hourly(0, disk),
    }


def _hourly(gpu: float, disk: float) -> Row:
    return {
        "gpuCostPerHour": gpu,
        "diskHour": disk,
        "slaPremiumPerHour": 0.0,
        "totalHour": gpu + disk,
        "discountTotalHour": 0,
        "discountedTotalPerHour": gpu + disk,
    }


def _told(row: Row, disk_gb: float, now: float, *, is_bid: bool) -> Row:
    end = row.get("end_date")
    told = {**row, **priced(row, disk_gb), "is_bid": is_bid}
    return {**told, "duration": end - now} if isinstance(end, int | float) else told


_COMPUTED: Mapping[str, Callable[[Row], Any]] = {
    "verified": lambda row: row.get("verification") == "verified",
    "reliability": lambda row: row.get("reliability2", row.get("reliability")),
    "driver_version": lambda row: row.get("driver_vers"),
    "geolocation": lambda row: (row.get("geolocation") or "")[-2:] or None,
    "datacenter": lambda row: row.get("hosting_type") == 1,
    # The service finds nothing by it; `ask_contract_id` works.
    "id": lambda _: None,
}


def _fits(row: Row, filters: Filters, known: frozenset[str]) -> bool:
    return all(
        holds(_value(row, name), operator, wanted)
        for name, condition in filters.items()
        if name in known and name not in _IGNORED
        for operator, wanted in condition.items()
    )


def _value(row: Row, name: str) -> Any:
    computed = _COMPUTED.get(name)
    value = computed(row) if computed else row.get(name)
    return False if value is None and name in _IS_FALSE_WHEN_NULL else value


def _limit(limit: Any) -> int:
    try:
        return min(int(limit), MOST_ROWS) if limit is not None else MOST_ROWS
    except (TypeError, ValueError) as error:
        raise invalid("Invalid args: limit") from error
