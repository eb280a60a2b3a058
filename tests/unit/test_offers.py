"""Which offers a filter shows, and in which order."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from broker.api.inventory import present_offer
from broker.decide.offers import (
    SORTS,
    Filter,
    markets_of,
    matches,
    near_misses,
    parse_gpu_types,
    sort_listed,
)
from providers.base import Offer
from tests.offers import a_listed, an_offer, ids


def is_shown(offer: Offer, **conditions: Any) -> bool:
    """Whether the offer passes a filter with these conditions."""
    return matches(a_listed(offer), Filter(**conditions))


@pytest.mark.parametrize(
    ("asked", "offered", "expected"),
    [
        ("RTX 4090", "RTX 4090", True),
        ("rtx_4090", "RTX 4090", True),
        ("NVIDIA GeForce RTX 4090", "RTX 4090", True),
        ("RTX 4090", "RTX 4090D", False),
        ("A100", "A100 SXM4", False),
        ("a100*", "A100 SXM4", True),
        ("RTX-40*", "RTX 4090", True),
        ("RTX 3090, a100*", "RTX 4090", False),
        ("RTX 3090, rtx4090", "RTX 4090", True),
        ("*", "RTX 4090", True),
        (",", "RTX 4090", False),
        ("brand new gpu", "Brand New GPU", True),
        ("brand-new_gpu", "NVIDIA Brand New GPU", True),
        ("v100*", "Tesla V100", True),
        ("nvidia a100*", "A100 SXM4", True),
    ],
)
def test_a_gpu_is_found_by_any_spelling_and_by_a_prefix_with_a_star(
    asked: str, offered: str, expected: bool
) -> None:
    """A comma list of names; without a star the whole name counts."""
    assert expected == is_shown(an_offer(gpu_type=offered), gpu_types=parse_gpu_types(asked))


@pytest.mark.parametrize(
    ("asked", "location", "country", "expected"),
    [
        ("US", "California, US", "US", True),
        ("us", "California, US", "US", True),
        ("US", "Moscow, RUS", "RU", False),
        ("US", "Austin", None, False),
        ("CA", "California, US", "US", False),
        ("calif", "California, US", "US", True),
        ("TÜRKIYE", "Türkiye, TR", "TR", True),
        ("ürk", "Türkiye, TR", "TR", True),
        ("ür", "Türkiye, TR", "TR", True),
        ("Oslo", None, "NO", False),
        (", US", ", US", "US", True),
    ],
)
def test_two_letters_are_a_country_and_everything_else_a_part_of_the_place(
    asked: str, location: str | None, country: str | None, expected: bool
) -> None:
    """Whatever is unknown never matches."""
    assert expected == is_shown(an_offer(location=location, country=country), location=asked)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"provider": "cloud"}, True),
        ({"provider": "clou"}, False),
        ({"min_gpu_count": 2}, True),
        ({"min_gpu_count": 3}, False),
        ({"gpu_count_exact": 2}, True),
        ({"gpu_count_exact": 1}, False),
        ({"gpu_count_exact": 0}, False),
        ({"min_vram": 24}, True),
        ({"min_vram": 25}, False),
        ({"min_reliability": 0.99}, True),
        ({"min_reliability": 0.991}, False),
        ({"min_cuda": 12.8}, True),
        ({"min_cuda": 12.9}, False),
        ({"min_availability_confidence": 1.0}, True),
        ({"verified": True}, True),
        ({"verified": False}, False),
        ({"max_price": Decimal("0.5")}, True),
        ({"max_price": Decimal("0.499999")}, False),
        ({"max_price": Decimal(0)}, False),
    ],
)
def test_every_condition_compares_with_its_bound_included(
    conditions: dict[str, Any], expected: bool
) -> None:
    """Two RTX 4090 with 24 GB each at $0.5."""
    assert expected == is_shown(an_offer(gpu_count=2), **conditions)


def test_the_price_that_is_shown_is_the_one_that_is_compared() -> None:
    """What reads 0.1 passes max_price 0.1, however many digits the marketplace has."""
    assert is_shown(an_offer(price="0.1000000004"), max_price=Decimal("0.1"))
    assert not is_shown(an_offer(price="0.1000006"), max_price=Decimal("0.1"))


def test_what_is_unknown_fits_only_the_absence_of_a_condition() -> None:
    """A bound of zero is no bound."""
    offer = an_offer(reliability=None, cuda_version=None, verified=None)

    assert is_shown(offer, min_reliability=0.0, min_cuda=0.0)
    assert not is_shown(offer, min_reliability=0.1)
    assert not is_shown(offer, min_cuda=11.0)
    assert not is_shown(offer, verified=True)
    assert not is_shown(offer, verified=False)


def test_a_doubtful_offer_is_left_out_where_confidence_is_asked_for() -> None:
    """The confidence of the moment counts, not the adapter's prior."""
    doubtful = a_listed(an_offer(), confidence=0.7)

    assert matches(doubtful, Filter(min_availability_confidence=0.7))
    assert not matches(doubtful, Filter(min_availability_confidence=0.71))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("a100", {"a100": ["A100 PCIE", "A100 SXM4"]}),
        ("RTX 4090, a100 sxm4", {}),
        ("a100*", {}),
        ("B200", {}),
        ("H100, RTX", {"RTX": ["RTX 4090"]}),
        ("--, ", {}),
    ],
)
def test_a_name_that_nothing_has_is_compared_with_the_beginnings_of_those_there_are(
    asked: str, expected: dict[str, list[str]]
) -> None:
    """To tell somebody who asks for an A100 what an A100 is called here."""
    assert expected == near_misses(asked, ["A100 SXM4", "RTX 4090", "A100 PCIE"])


def test_offers_sort_by_price_and_then_by_id() -> None:
    """Ties ascend by id whichever way the rest goes."""
    rows = [a_listed(an_offer(i, price=p)) for i, p in [("b", "1"), ("c", "2"), ("a", "1")]]

    assert ids(sort_listed(rows)) == ["a", "b", "c"]
    assert ids(sort_listed(rows, "-price_per_hour")) == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("price_per_gpu_hour", ["big", "small", "mute"]),
        ("reliability", ["small", "big", "mute"]),
        ("-reliability", ["big", "small", "mute"]),
        ("vram_gb", ["small", "big", "mute"]),
        ("-vram_gb", ["mute", "big", "small"]),
        ("gpu_count", ["mute", "small", "big"]),
        ("-gpu_count", ["big", "mute", "small"]),
    ],
)
def test_offers_sort_by_what_was_named_and_the_unknown_comes_last(
    sort: str, expected: list[str]
) -> None:
    """Downwards too."""
    rows = [
        a_listed(an_offer("big", price="4", gpu_count=8, vram_gb=40, reliability=0.95)),
        a_listed(an_offer("small", price="1", gpu_count=1, vram_gb=24, reliability=0.9)),
        a_listed(an_offer("mute", price="2", gpu_count=1, vram_gb=80, reliability=None)),
    ]
    assert expected == ids(sort_listed(rows, sort))
    assert sort in SORTS


def test_the_market_of_a_gpu_type_counts_offers_gpus_and_prices() -> None:
    """Per GPU, over all providers."""
    rows = [
        a_listed(an_offer("1", price="0.4")),
        a_listed(an_offer("2", price="1.0", gpu_count=2, provider="other")),
        a_listed(an_offer("3", price="0.2", gpu_type="L4")),
        a_listed(an_offer("4", price="0.6000005", vram_gb=23)),
    ]
    l4, rtx = markets_of(rows)

    assert (l4.gpu_type, l4.offers, l4.median_price_per_gpu_hour) == ("L4", 1, Decimal("0.2"))
    assert (rtx.gpu_type, rtx.offers, rtx.gpus, rtx.vram_gb) == ("RTX 4090", 3, 4, 23)
    assert rtx.min_price_per_gpu_hour == Decimal("0.4")
    assert rtx.median_price_per_gpu_hour == Decimal("0.5")
    assert rtx.providers == ("cloud", "other")


@pytest.mark.parametrize(("disk_gb", "expected"), [(8, "1"), (50, "1"), (100, "1"), (101, "1.01")])
def test_a_disk_below_the_least_costs_as_much_as_the_least(disk_gb: int, expected: str) -> None:
    """The price of the offer includes it."""
    offer = an_offer(price="1", disk_price_per_gb_hour=Decimal("0.01"), least_disk_gb=100)

    assert offer.price_with_disk(disk_gb) == Decimal(expected)


@pytest.mark.parametrize(
    ("least_gb", "asked_gb", "rented_gb", "included_gb"),
    [(0, 8, 8, 50), (0, 200, 200, 50), (100, 50, 100, 100), (100, 101, 101, 100)],
)
def test_less_disk_than_the_least_cannot_be_rented(
    least_gb: int, asked_gb: int, rented_gb: int, included_gb: int
) -> None:
    """What is rented is told, and what the price of the list includes."""
    offer = an_offer(least_disk_gb=least_gb)

    assert offer.rented_disk_gb(asked_gb) == rented_gb
    assert present_offer(a_listed(offer))["disk_gb"] == offer.included_disk_gb == included_gb
