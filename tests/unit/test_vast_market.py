"""Reading a search answer of Vast.ai: what is kept, what is dropped, what is refused."""

from __future__ import annotations

import json
import math
import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from providers.base import Offer
from providers.errors import BadResponse
from providers.gpus import gpu_type
from providers.vast_market import parse_market

NOW = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)


def a_row(**changes: Any) -> dict[str, Any]:
    """An offer as the marketplace sends it, with what the reader looks at."""
    row: dict[str, Any] = {
        "id": 11684738,
        "ask_contract_id": 11684738,
        "machine_id": 22990,
        "gpu_name": "RTX 4090",
        "num_gpus": 2,
        "gpu_ram": 24564,
        "dph_base": 0.3,
        "dph_total": 0.31,
        "storage_cost": 0.144,
        "duration": 86400.5,
        "end_date": 1.0,
        "reliability2": 0.97,
        "verification": "verified",
        "geolocation": "Guangxi, CN",
        "cuda_max_good": 12.4,
        "is_bid": False,
        "disk_space": 1607.875,
        "direct_port_count": 249,
        "rentable": True,
        "rented": False,
    }
    return {name: value for name, value in (row | changes).items() if value is not ...}


def read(*rows: object) -> tuple[Offer, ...]:
    """The offers in an answer with these rows and one good one, which is left out again."""
    good = a_row(id=1, ask_contract_id=1)
    offers = parse_market({"offers": [good, *rows]}, provider="vastai", now=NOW).offers
    return tuple(offer for offer in offers if offer.provider_id != "1")


def read_one(**changes: Any) -> Offer:
    """The offer in a row with these changes."""
    (offer,) = read(a_row(**changes))
    return offer


def test_a_row_becomes_an_offer() -> None:
    """Every field has its place; `duration` counts, `end_date` does not."""
    assert read_one() == Offer(
        provider="vastai",
        provider_id="11684738",
        gpu_type="RTX 4090",
        gpu_count=2,
        vram_gb=24,
        price_per_hour=Decimal("0.31"),
        disk_price_per_gb_hour=Decimal("0.0002"),
        fetched_at=NOW,
        location="Guangxi, CN",
        country="CN",
        machine_id="22990",
        reliability=0.97,
        verified=True,
        cuda_version=12.4,
        interruptible=False,
        max_disk_gb=1607,
        max_duration=timedelta(seconds=86400.5),
        direct_ports=249,
    )


def test_the_price_includes_fifty_gb_of_disk_without_noise() -> None:
    """Base price and a month's disk price over 720 hours, in decimal arithmetic."""
    offer = read_one(dph_base=0.1, storage_cost=0.2)

    assert offer.price_per_hour == Decimal("0.1") + 50 * (Decimal("0.2") / 720)
    assert offer.price_with_disk(50) == offer.price_per_hour


def test_a_bare_list_is_a_market_too() -> None:
    """The command line tool prints no envelope."""
    assert len(parse_market([a_row()], provider="vastai", now=NOW).offers) == 1
    assert parse_market([], provider="vastai", now=NOW).offers == ()


@pytest.mark.parametrize(
    "payload", [None, 7, "offers", {}, {"offers": None}, {"offers": {}}, {"success": False}]
)
def test_what_is_no_market_is_refused(payload: object) -> None:
    """It is never read as an empty market."""
    with pytest.raises(BadResponse):
        parse_market(payload, provider="vastai", now=NOW)


def test_an_answer_without_one_readable_row_is_refused() -> None:
    """Fields were renamed: that is not an empty market."""
    with pytest.raises(BadResponse):
        parse_market([a_row(gpu_ram=..., gpu_ram_mb=24564)], provider="vastai", now=NOW)


@pytest.mark.parametrize(
    "row",
    [
        None,
        "row",
        [],
        a_row(id=..., ask_contract_id=...),
        a_row(id=None, ask_contract_id=True),
        a_row(id="7/../8", ask_contract_id=...),
        a_row(gpu_name=None),
        a_row(gpu_name=" "),
        a_row(num_gpus=...),
        a_row(num_gpus=0),
        a_row(num_gpus=True),
        a_row(gpu_ram=None),
        a_row(gpu_ram="24564"),
        a_row(dph_base=..., dph_total=...),
        a_row(dph_base=0),
        a_row(dph_base=-1.5),
        a_row(dph_base=math.nan, dph_total=...),
        a_row(dph_base=math.inf, dph_total=...),
        a_row(dph_base=10**400, dph_total=...),
        a_row(storage_cost=-1),
        a_row(id=1, ask_contract_id=1),
    ],
)
def test_an_odd_row_is_dropped_and_counted(row: object) -> None:
    """One bad row costs one row; a second row of one offer is odd too."""
    market = parse_market([a_row(id=1, ask_contract_id=1), row], provider="vastai", now=NOW)

    assert [offer.provider_id for offer in market.offers] == ["1"]
    assert market.dropped == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"rentable": False},
        {"rented": True},
        {"external": True},
        {"disk_space": 49.9},
        {"duration": 0},
    ],
)
def test_what_nobody_can_rent_is_left_out_but_not_counted(changes: dict[str, Any]) -> None:
    """The row is understood; it is just no offer."""
    market = parse_market([a_row(**changes)], provider="vastai", now=NOW)

    assert market.offers == ()
    assert market.dropped == 0


@pytest.mark.parametrize(
    ("text", "location", "country"),
    [
        ("Quebec, CA", "Quebec, CA", "CA"),
        (", US", "US", "US"),
        ("Türkiye, TR", "Türkiye, TR", "TR"),
        ("SE", "SE", "SE"),
        ("Sweden", "Sweden", None),
        (", ", None, None),
        ("", None, None),
        (None, None, None),
        (7, None, None),
    ],
)
def test_a_place_is_read_as_far_as_it_goes(
    text: object, location: str | None, country: str | None
) -> None:
    """The region may be missing, and so may everything."""
    offer = read_one(geolocation=text)

    assert (offer.location, offer.country) == (location, country)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"verification": "verified"}, True),
        ({"verification": "unverified"}, False),
        ({"verification": "deverified"}, False),
        ({"verification": ..., "verified": True}, True),
        ({"verification": ...}, None),
    ],
)
def test_the_vetting_has_two_spellings(changes: dict[str, Any], expected: bool | None) -> None:
    """A word in recorded answers, a flag elsewhere."""
    assert read_one(**changes).verified is expected


@pytest.mark.parametrize(
    ("changes", "field", "expected"),
    [
        ({"cuda_max_good": 580.2}, "cuda_version", None),
        ({"cuda_max_good": None}, "cuda_version", None),
        ({"cuda_max_good": 12}, "cuda_version", 12.0),
        ({"reliability2": 1.5}, "reliability", None),
        ({"reliability2": ..., "reliability": 0.9}, "reliability", 0.9),
        ({"machine_id": None}, "machine_id", None),
        ({"duration": None}, "max_duration", None),
        ({"duration": 1e14}, "max_duration", None),
        ({"disk_space": None}, "max_disk_gb", None),
        ({"storage_cost": None}, "disk_price_per_gb_hour", Decimal()),
        ({"is_bid": True}, "interruptible", True),
        ({"id": ..., "ask_contract_id": 7}, "provider_id", "7"),
        ({"gpu_ram": 46068}, "vram_gb", 48),
        ({"direct_port_count": None}, "direct_ports", None),
        ({"direct_port_count": 0}, "direct_ports", 0),
        ({"external": None}, "provider_id", "11684738"),
    ],
)
def test_a_value_that_cannot_be_true_is_unknown(
    changes: dict[str, Any], field: str, expected: object
) -> None:
    """The rest of the row stands."""
    assert getattr(read_one(**changes), field) == expected


@pytest.mark.parametrize(
    ("changes", "name", "expected"),
    [
        ({"cpu_arch": "arm64"}, "cpu_arch", "arm64"),
        ({"cpu_arch": " "}, "cpu_arch", None),
        ({"cpu_name": "x" * 65}, "cpu_name", None),
        ({"cpu_ram": 64393}, "cpu_ram", 64393),
        ({"static_ip": False}, "static_ip", False),
        ({"inet_up": math.nan}, "inet_up", None),
        ({"inet_up": [5]}, "inet_up", None),
        ({"hosting_type": 1}, "datacenter", True),
        ({"hosting_type": 0}, "datacenter", False),
        ({"hosting_type": None}, "datacenter", None),
        ({"geolocation": "Quebec, CA"}, "geolocation", "CA"),
        ({"verification": "unverified"}, "verified", False),
        ({"driver_version": "535.183.01"}, "driver_version", 535183001),
        ({"driver_version": "550.120", "driver_vers": 535183006}, "driver_vers", 550120000),
        ({"driver_version": None, "driver_vers": 535183006}, "driver_vers", None),
    ],
)
def test_conditions_find_a_row_in_the_marketplaces_words(
    changes: dict[str, Any], name: str, expected: object
) -> None:
    """What is not told is left out; some fields are spelt as the marketplace's filters are."""
    assert read_one(**changes).traits.get(name) == expected


def test_without_a_base_price_the_disk_is_taken_off_the_total() -> None:
    """Reduced recordings hold only the total, which includes a small disk."""
    offer = read_one(dph_base=..., dph_total=0.31, storage_total_cost=0.01)

    assert offer.price_per_hour == Decimal("0.31")


def test_recorded_markets_are_read_without_loss() -> None:
    """Not one row of a real answer is odd."""
    folder = Path(os.environ.get("RECORDED_MARKETS", "")) / "vast_offers"
    if "RECORDED_MARKETS" not in os.environ or not folder.is_dir():
        pytest.skip("RECORDED_MARKETS names no folder of recorded markets")
    answers = {
        path.name: json.loads(path.read_bytes())
        for path in sorted(folder.glob("*.json"))
        if "renamed" not in path.name
    }

    markets = {name: parse_market(a, provider="vastai", now=NOW) for name, a in answers.items()}

    assert {name for name, market in markets.items() if market.dropped} == set()
    assert len(markets["vastcli_2024-11-05_all.json"].offers) == 1355
    offers = [offer for market in markets.values() for offer in market.offers]
    assert [o.gpu_type for o in offers if gpu_type(o.gpu_type) != o.gpu_type] == []
