"""Which offer is rented, and which may stand in for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from broker.decide.funds import Purse
from broker.decide.plain import instant_text
from broker.decide.select import choose, needs_of, nothing_fits, stand_ins, unsupported
from broker.decide.templates import parse_conditions
from broker.errors import NoOfferFits, OffersPassedOver
from broker.model import Confidential, Criteria, RetryScope, StoragePolicy
from providers.base import Capabilities, LaunchMode, Offer
from tests.offers import NOW, a_listed, a_request, a_template, able, an_offer, ids, minutes

BARE: dict[str, Any] = {"custom_image": False, "environment": False, "on_start": False}


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
    assert chosen(cheap_disk, dear_disk, disk_gb=100) == "2"
    dearer = an_offer("3", price="0.7", disk_price_per_gb_hour=Decimal("0.01"))
    assert chosen(cheap_disk, dearer, disk_gb=10) == "3"
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


def test_nothing_fits_tells_of_offers_that_are_only_passed_over() -> None:
    """How many would fit, and when the first of them may be tried again."""
    late = a_listed(an_offer("1"), passed_over_until=NOW + minutes(9))
    soon = a_listed(an_offer("2"), passed_over_until=NOW + minutes(4))
    dear = a_listed(an_offer("3", price="9"), passed_over_until=NOW + minutes(1))
    needs, can = needs_of(a_request()), {"cloud": able()}
    cheap = Criteria(max_price=Decimal(1))

    why = nothing_fits([late, soon, dear], cheap, needs, can, NOW)
    assert isinstance(why, OffersPassedOver)
    assert ": 2 that fit failed lately" in str(why)
    assert f"the first until {instant_text(NOW + minutes(4))}." in str(why)
    assert type(nothing_fits([dear], cheap, needs, can, NOW)) is NoOfferFits


@pytest.mark.parametrize(
    ("direct_ports", "exposed_ports", "fits"),
    [
        (0, (), True),
        (None, (80, 81), True),
        (2, (80,), True),
        (1, (80,), False),
        (1, (22,), True),
        (2, (80, 81), False),
    ],
)
def test_an_offer_has_room_for_the_ports_asked_for_and_that_of_ssh(
    direct_ports: int | None, exposed_ports: tuple[int, ...], fits: bool
) -> None:
    """Where none is asked for, SSH finds another way; what is not known keeps nobody away."""
    offer = an_offer("1", direct_ports=direct_ports)

    assert chosen(offer, exposed_ports=exposed_ports) == ("1" if fits else None)


def test_an_offer_that_its_account_cannot_pay_is_passed_over() -> None:
    """The whole reservation with the disk asked for counts; an account that tells nothing pays."""
    cheap, dear = an_offer("1", price="0.5"), an_offer("2", price="0.9", provider="other")
    rows, can = [a_listed(cheap), a_listed(dear)], {"cloud": able(), "other": able()}

    def rented(left: str, **fields: Any) -> str | None:
        request = a_request(**fields)
        purses = {"cloud": Purse(Decimal(left))}
        row = choose(rows, Criteria(), needs_of(request), can, NOW, purses)
        return row.offer.provider_id if row else None

    assert rented("0.5") == "1"
    assert rented("0.499999") == "2"
    assert rented("0.5", disk_gb=51) == "2"
    assert rented("0.5", reservation=minutes(61)) == "2"


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
