"""Which offers are shown, in which order, and which one is rented."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from broker.decide.offers import (
    SORTS,
    Filter,
    Listed,
    markets_of,
    matches,
    near_misses,
    parse_gpu_types,
    sort_listed,
)
from broker.decide.select import choose, needs_of, stand_ins, unsupported
from broker.decide.templates import parse_conditions
from broker.model import Confidential, Criteria, RetryScope, StoragePolicy
from providers.base import Capabilities, LaunchMode, Offer
from tests.offers import NOW, a_listed, a_request, a_template, able, an_offer, minutes

BARE: dict[str, Any] = {"custom_image": False, "environment": False, "on_start": False}


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


def ids(rows: Iterable[Listed]) -> list[str]:
    """What is listed, without the name of the provider."""
    return [row.offer.provider_id for row in rows]


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


def chosen(
    *offers: Offer,
    criteria: Criteria | None = None,
    capabilities: Mapping[str, Capabilities] | None = None,
    secret: Confidential | None = None,
    **request: Any,
) -> str | None:
    """The provider id of the offer that a request with these fields rents."""
    asked = a_request(criteria=criteria or Criteria(), **request)
    rows = [a_listed(offer) for offer in offers]
    can = capabilities or {offer.provider: able() for offer in offers}
    row = choose(rows, asked.criteria, needs_of(asked, secret), can, NOW)
    return row.offer.provider_id if row else None


def test_the_cheapest_offer_that_fits_is_chosen_ties_by_id() -> None:
    """Whatever the order of the listing."""
    assert chosen(an_offer("b"), an_offer("a"), an_offer("c", price="0.6")) == "a"
    assert chosen() is None


def test_the_price_for_the_disk_asked_for_decides() -> None:
    """A cheap machine with a dear disk is not the cheapest for a large disk."""
    dear_disk = an_offer("1", price="0.5", disk_price_per_gb_hour=Decimal("0.01"))
    cheap_disk = an_offer("2", price="0.6", disk_price_per_gb_hour=Decimal(0))

    assert chosen(dear_disk, cheap_disk, disk_gb=50) == "1"
    assert chosen(dear_disk, cheap_disk, disk_gb=100) == "2"
    at_most = Criteria(max_price=Decimal("0.7"))
    assert chosen(dear_disk, criteria=at_most, disk_gb=70) == "1"
    assert chosen(dear_disk, criteria=at_most, disk_gb=71) is None


@pytest.mark.parametrize(
    "unfit",
    [
        {"verified": False},
        {"verified": None},
        {"reliability": 0.89},
        {"interruptible": True},
        {"max_disk_gb": 49},
        {"max_duration": timedelta(minutes=59)},
    ],
)
def test_an_offer_that_cannot_be_trusted_or_serve_is_not_chosen(unfit: dict[str, Any]) -> None:
    """The dearer one that can is."""
    assert chosen(an_offer("1", **unfit), an_offer("2", price="0.9")) == "2"


def test_enough_disk_enough_time_and_an_unknown_reliability_fit() -> None:
    """Exactly enough is enough."""
    offer = an_offer("1", reliability=None, max_disk_gb=50, max_duration=timedelta(hours=1))

    assert chosen(offer) == "1"


@pytest.mark.parametrize("doubtful", [{"verified": False}, {"reliability": 0.2}])
def test_unverified_offers_are_chosen_only_on_demand(doubtful: dict[str, Any]) -> None:
    """`allow_unverified` takes the unreliable ones as well."""
    criteria = Criteria(allow_unverified=True)

    assert chosen(an_offer("1", **doubtful)) is None
    assert chosen(an_offer("1", **doubtful), criteria=criteria) == "1"


def test_criteria_narrow_the_choice() -> None:
    """Each of them as a filter of the listing does."""
    offer = an_offer("1", gpu_count=2)
    right = Criteria(
        gpu_type="rtx 4090",
        gpu_count=2,
        min_vram=24,
        location="US",
        min_reliability=0.99,
        min_cuda=12.8,
        provider="cloud",
    )
    wrong = [
        replace(right, gpu_type="RTX 3090"),
        replace(right, gpu_count=3),
        replace(right, min_vram=25),
        replace(right, location="NO"),
        replace(right, min_reliability=0.995),
        replace(right, min_cuda=12.9),
        replace(right, provider="other"),
    ]

    assert chosen(offer, criteria=right) == "1"
    assert [chosen(offer, criteria=criteria) for criteria in wrong] == [None] * len(wrong)


def test_an_offer_that_is_passed_over_is_not_chosen_until_its_time_is_over() -> None:
    """Then it fits again."""
    row = a_listed(an_offer("1"), passed_over_until=NOW + minutes(1))
    request = a_request()
    needs, can = needs_of(request), {"cloud": able()}

    assert choose([row], Criteria(), needs, can, NOW) is None
    assert choose([row], Criteria(), needs, can, NOW + minutes(1)) is row


@pytest.mark.parametrize(
    ("lacking", "fields", "secret", "named"),
    [
        (BARE, {"docker_image": "me/api"}, None, ("docker_image",)),
        (BARE, {"model_id": "a/b-7b"}, None, ("model_id",)),
        (BARE, {}, Confidential(env={"A": "1"}), ("env",)),
        (BARE, {}, Confidential(on_start_cmd="true"), ("on_start_cmd",)),
        ({"published_ports": False}, {"exposed_ports": (80,)}, None, ("exposed_ports",)),
        ({}, {"template_hash_id": "abc"}, None, ("template_hash_id",)),
        ({}, {"storage_policy": StoragePolicy.PRESERVE}, None, ("storage_policy",)),
        ({}, {"watchdog": True}, None, ("watchdog",)),
        (
            {"launch_modes": frozenset({LaunchMode.SSH}), "published_ports": False},
            {"launch_mode": LaunchMode.ENTRYPOINT},
            None,
            ("exposed_ports", "launch_mode"),
        ),
    ],
)
def test_a_provider_that_lacks_a_capability_is_not_chosen_and_the_field_is_named(
    lacking: dict[str, Any],
    fields: dict[str, Any],
    secret: Confidential | None,
    named: tuple[str, ...],
) -> None:
    """What the request does without, no provider needs to have."""
    poor = able(**lacking)
    needs = needs_of(a_request(**fields), secret)

    assert named == unsupported(needs, poor)
    assert chosen(an_offer("1"), capabilities={"cloud": poor}, secret=secret, **fields) is None
    assert chosen(an_offer("1"), capabilities={"cloud": able(**BARE)}) == "1"


def test_a_template_is_rented_at_its_provider_on_offers_that_it_accepts() -> None:
    """Its conditions count like criteria."""
    template = a_template(extra_filters='{"cuda_max_good": {"gte": 12.9}}')
    request = a_request(template_hash_id=template.hash_id)
    needs = needs_of(request, None, template)
    rows = [
        a_listed(an_offer("1", cuda_version=12.8)),
        a_listed(an_offer("2", cuda_version=13.0, provider="other")),
        a_listed(an_offer("3", cuda_version=13.0, price="0.9")),
    ]
    can = {name: able(templates=True) for name in ("cloud", "other")}
    row = choose(rows, Criteria(), needs, can, NOW)

    assert needs.conditions == parse_conditions(template).conditions
    assert row is rows[2]


FIRST = an_offer("0", price="1.00", gpu_count=2)


def standing_in(*offers: Offer, tried: tuple[Offer, ...] = (FIRST,), **request: Any) -> list[str]:
    """The provider ids of those that may stand in for what was tried."""
    asked = a_request(auto_retry=True, **request)
    rows = [a_listed(offer) for offer in (FIRST, *offers)]
    can = {"cloud": able(templates=True), "other": able(templates=True)}
    return ids(stand_ins(rows, asked, needs_of(asked), tried, can, NOW))


MARKET = (
    an_offer("same", price="1.20", gpu_count=2),
    an_offer("more", price="1.25", gpu_count=4),
    an_offer("fewer", price="0.50", gpu_count=1),
    an_offer("bigger", price="1.10", gpu_count=2, gpu_type="A100 SXM4", vram_gb=80),
    an_offer("smaller", price="0.90", gpu_count=2, gpu_type="L4", vram_gb=16),
    an_offer("dear", price="1.26", gpu_count=2),
)


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (RetryScope.SAME_GPU, ["same", "more"]),
        (RetryScope.SAME_VRAM, ["bigger", "same", "more"]),
        (RetryScope.ANY, ["fewer", "smaller", "bigger", "same", "more"]),
    ],
)
def test_the_scope_says_how_like_the_first_offer_a_stand_in_must_be(
    scope: RetryScope, expected: list[str]
) -> None:
    """The cheapest first, and never dearer than a quarter above the first offer."""
    assert expected == standing_in(*MARKET, retry_scope=scope)


def test_a_price_that_was_named_is_the_limit_instead() -> None:
    """Also where it is higher than a quarter above the first offer."""
    at_most = Criteria(max_price=Decimal("1.26"))

    assert standing_in(*MARKET, criteria=at_most) == ["same", "more", "dear"]
    assert standing_in(*MARKET, criteria=Criteria(max_price=Decimal(1))) == []


def test_what_was_tried_is_not_tried_again_nor_is_its_machine() -> None:
    """Neither by its id nor under another offer of the same host."""
    second = an_offer("same", price="1.20", gpu_count=2)
    twin = an_offer("twin", price="1.20", gpu_count=2, machine_id=second.machine_id)
    elsewhere = replace(twin, provider="other")
    rest = standing_in(second, twin, elsewhere, tried=(FIRST, second))

    assert rest == ["twin"]


def test_the_other_criteria_hold_for_stand_ins_too() -> None:
    """Only the likeness is the scope's; what the consumer asked for beside it stays."""
    us_only = Criteria(gpu_type="RTX 4090", location="US", min_vram=24)
    abroad = an_offer("abroad", price="0.9", location="Oslo, NO", country="NO")
    rows = (*MARKET, abroad)

    assert standing_in(*rows, criteria=us_only, retry_scope=RetryScope.ANY) == [
        *("fewer", "bigger", "same", "more"),
    ]


def test_a_stand_in_for_a_template_stays_with_its_provider() -> None:
    """Nobody else has the template."""
    elsewhere = an_offer("x", price="0.9", gpu_count=2, provider="other")
    same = an_offer("same", price="1.20", gpu_count=2)

    assert standing_in(elsewhere, same) == ["x", "same"]
    assert standing_in(elsewhere, same, template_hash_id="abc") == ["same"]
