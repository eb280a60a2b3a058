"""A small market for the vendor's tools: each offer is one that a query means, or just misses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from broker.clock import utcnow
from tests.vast_wire.hosts import default_rows

Row = dict[str, Any]

NOW = utcnow().timestamp()
"""About the present, which the service lives in."""
DAY = 86_400.0
QUERY = (
    "gpu_name=RTX_4090 num_gpus>=1 dph_total<0.5 gpu_ram>=24 cuda_vers>=12.4"
    " geolocation in [US,CA] duration>3 driver_version>=535.86.05 reliability>0.98"
)
"""The long query; its values are those that the rows below are laid around."""

_FIRST = 44_100_001
_DISK_GB = 5.0
"""What the vendor's tools price an offer with."""

GOOD: Mapping[str, Any] = {
    "gpu_name": "RTX 4090",
    "num_gpus": 1,
    "gpu_ram": 24_564,
    "dph_base": 0.4,
    "min_bid": 0.2,
    "storage_cost": 0.144,
    "cuda_max_good": 12.4,
    "geolocation": "Montana, US",
    "driver_version": "550.54.15",
    "driver_vers": 550_054_015,
    "reliability": 0.99,
    "reliability2": 0.99,
    "verification": "verified",
    "direct_port_count": 100,
    "disk_space": 500.0,
}
"""What every row is unless it says otherwise."""

FITTING: Sequence[Mapping[str, Any]] = (
    {"score": 10.0},
    {"score": 30.0, "geolocation": ", CA", "dph_base": 0.3},
    {"score": 20.0, "num_gpus": 2, "cuda_max_good": 13.1, "dph_base": 0.49},
    {"score": None, "driver_version": "535.86.05", "driver_vers": 535_086_005},
)
MISSING: Sequence[Mapping[str, Any]] = (
    {"gpu_name": "RTX 4090 D"},
    {"dph_base": 0.4995},  # below the bound without its disk
    {"gpu_ram": 23_028},
    {"cuda_max_good": 12.2},
    {"cuda_max_good": None},
    {"geolocation": "Sweden, SE"},
    {"geolocation": None},
    {"duration": 2.9 * DAY},
    {"driver_version": "535.54.03", "driver_vers": 535_054_003},
    {"reliability": 0.97, "reliability2": 0.97},
    {"verification": "unverified"},
    {"verification": "deverified"},
    {"external": True},
)


def market_rows(now: float) -> list[Row]:
    """Rows that fit the query, then rows of which each misses it by one thing. None overlap."""
    (shape,) = default_rows(1, now)
    return [
        _row(shape, number, changes, now) for number, changes in enumerate((*FITTING, *MISSING))
    ]


def many_rows(count: int, now: float) -> list[Row]:
    """That many offers of the plainest kind, each on a machine of its own."""
    (shape,) = default_rows(1, now)
    return [_row(shape, number, {"score": float(count - number)}, now) for number in range(count)]


def fitting(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """The ids that the query finds, best score first, the unknown score last."""
    found = list(rows[: len(FITTING)])
    found.sort(key=lambda row: (row["score"] is None, -(row["score"] or 0)))
    return [row["id"] for row in found]


def total_price(row: Mapping[str, Any], disk_gb: float = _DISK_GB) -> float:
    """$/h with a disk of that size."""
    return float(row["dph_base"] + disk_gb * row["storage_cost"] / 720)


def ids(rows: Sequence[Mapping[str, Any]], is_wanted: Callable[[Any], bool]) -> set[int]:
    """The ids of some rows."""
    return {row["id"] for row in rows if is_wanted(row)}


def _row(shape: Mapping[str, Any], number: int, changes: Mapping[str, Any], now: float) -> Row:
    row = {**shape, **GOOD, "score": 1.0, **changes}
    ask = _FIRST + number
    return {
        **row,
        "id": ask,
        "ask_contract_id": ask,
        "machine_id": 24_900 + number,
        "gpu_ids": [90_000 + 8 * number + gpu for gpu in range(row["num_gpus"])],
        "end_date": now + row.pop("duration", 30 * DAY),
    }
