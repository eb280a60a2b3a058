"""TensorDock's price list as offers: what they cost, how large they are, who can be let in."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.base import Offer
from providers.errors import BadResponse, ProviderError
from providers.tensordock.hosts import Host, parse_hosts
from providers.tensordock.market import (
    OfferKey,
    parse_market,
    parse_offer_id,
)
from providers.tensordock.places import place_of
from providers.tensordock.sizes import Limits, Size, parse_traits, size_for
from tests.unit.tensordock_rows import MODEL, NOW, SITE, a_host, a_model, a_site, hosts, sites
from tests.unit.vastai_rows import anything, rows_like

PRICES = a_model()["pricing"]


def offers(*models: Any, behind: list[dict[str, Any]] | None = None) -> list[Offer]:
    """What a site with these models offers, with these hosts behind it."""
    known = parse_hosts(hosts(*behind)) if behind is not None else ()
    return list(parse_market(sites(a_site(*models)), NOW, known).offers)


def counts(*models: Any, behind: list[dict[str, Any]] | None = None) -> list[int]:
    """How many GPUs the offers have."""
    return [offer.gpu_count for offer in offers(*models, behind=behind)]


def test_a_model_becomes_offers_of_one_to_its_ceiling() -> None:
    """The ceiling is no offer's size, and one listing stands for many machines."""
    one, *_, four = offers(a_model())

    assert counts(a_model()) == [1, 2, 3, 4]
    assert one == Offer(
        provider="tensordock",
        provider_id=f"{SITE}_{MODEL}_1",
        gpu_type="RTX 4090",
        gpu_count=1,
        vram_gb=24,
        price_per_hour=Decimal("0.4896"),
        disk_price_per_gb_hour=Decimal("0.00005"),
        fetched_at=NOW,
        location="Chubbuck, Idaho, United States",
        country="US",
        exclusive=False,
        least_disk_gb=100,
        max_disk_gb=30200,
        direct_ports=33,
        verified=True,
        prior=0.3,
    )
    assert parse_traits(four.traits) == Size(32, 128)


def test_a_price_is_that_of_the_machine_that_will_be_rented() -> None:
    """GPUs, processors, memory and 100 GB of disk; a smaller disk costs no less."""
    two = offers(a_model())[1]

    expected = 2 * Decimal("0.3966") + 16 * Decimal("0.003") + 64 * Decimal("0.002")
    assert two.price_per_hour == expected + 100 * Decimal("0.00005")
    assert two.price_with_disk(8) == two.price_with_disk(100) == two.price_per_hour
    assert two.price_with_disk(300) == two.price_per_hour + 200 * Decimal("0.00005")


@pytest.mark.parametrize(
    "changes",
    [
        {"v0Name": None},
        {"v0Name": "no/path", "displayName": "RTX 4090 24GB"},
        {"v0Name": "rtx-without-memory", "displayName": ...},
        {"max_count": ...},
        {"price_per_hr": ...},
        {"price_per_hr": 0},
        {"price_per_hr": "call us"},
        {"pricing": ...},
        {"pricing": PRICES | {"per_vcpu_hr": None}},
        {"pricing": PRICES | {"per_gb_ram_hr": "x"}},
        {"pricing": PRICES | {"per_gb_storage_hr": -1}},
        {"resources": ...},
        {"resources": {"max_vcpus": 56}},
        {"resources": {"max_ram_gb": 331}},
    ],
)
def test_what_is_not_told_whole_is_dropped_and_counted(changes: dict[str, Any]) -> None:
    """A missing part would be charged all the same: it never makes an offer cheaper."""
    listed = parse_market(sites(a_site(a_model(**changes), a_model())), NOW)

    assert (len(listed.offers), listed.dropped) == (4, 1)


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        {},
        {"data": []},
        {"data": {"locations": {}}},
        {"locations": []},
        sites(a_site(a_model(pricing=...))),
        sites({}),
        sites(None),
    ],
)
def test_what_is_no_price_list_is_refused(payload: object) -> None:
    """It is never read as a market without offers."""
    with pytest.raises(BadResponse):
        parse_market(payload, NOW)


def test_a_market_may_be_empty() -> None:
    """No sites, or sites without GPUs, are no mistake."""
    assert parse_market(sites(), NOW).offers == ()
    assert parse_market(sites(a_site(gpus=[])), NOW).offers == ()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"max_count": 0}, []),
        ({"max_count": -3}, []),
        ({"max_count": "2"}, [1, 2]),
        ({"max_count": 1000}, list(range(1, 17))),
        ({"network_features": ...}, [1]),
        ({"network_features": {"port_forwarding_available": False}}, []),
        (
            {
                "network_features": {
                    "port_forwarding_available": False,
                    "dedicated_ip_available": True,
                }
            },
            [1],
        ),
        ({"resources": {"max_vcpus": 56, "max_ram_gb": 331, "max_storage_gb": 99}}, []),
        ({"resources": {"max_vcpus": 56, "max_ram_gb": 331}}, [1]),
    ],
)
def test_only_what_somebody_could_rent_and_reach_is_offered(
    changes: dict[str, Any], expected: list[int]
) -> None:
    """The rest is understood, and left out without being counted."""
    resources = {"max_vcpus": 560, "max_ram_gb": 3310}
    model = a_model(**({"max_count": 1, "resources": resources} | changes))
    listed = parse_market(sites(a_site(model)), NOW)

    assert [offer.gpu_count for offer in listed.offers] == expected
    assert listed.dropped == 0


def test_an_address_of_its_own_is_the_second_choice() -> None:
    """Where ports are not forwarded, nothing but SSH is known to be reachable."""
    features = {"port_forwarding_available": False, "dedicated_ip_available": True}
    [forwarded] = offers(a_model(max_count=1))
    [dedicated] = offers(a_model(max_count=1, network_features=features))

    assert (forwarded.has_own_address, forwarded.direct_ports) == (False, 33)
    assert (dedicated.has_own_address, dedicated.direct_ports) == (True, 1)


@pytest.mark.parametrize(
    ("count", "limits", "expected"),
    [
        (1, Limits(), Size(8, 32)),
        (2, Limits(), Size(16, 64)),
        (7, Limits(), Size(56, 224)),
        (8, Limits(), Size(64, 256)),
        (9, Limits(), Size(72, 256)),
        (16, Limits(), Size(128, 512)),
        (1, Limits(vcpus=7), Size(6, 32)),
        (1, Limits(ram_gb=31.9), Size(8, 16)),
        (2, Limits(vcpus_per_gpu=3, ram_gb_per_gpu=15), Size(6, 16)),
        (4, Limits(vcpus=8, ram_gb=32), Size(8, 32)),
        (4, Limits(vcpus=7), None),
        (4, Limits(ram_gb=31), None),
        (1, Limits(disk_gb=100), Size(8, 32)),
        (1, Limits(disk_gb=99), None),
        (1, Limits(vcpus=-4), None),
    ],
)
def test_a_machine_has_a_size_that_is_taken(
    count: int, limits: Limits, expected: Size | None
) -> None:
    """Even processors, memory in steps, neither more than there is nor too little for its GPUs."""
    assert size_for(count, limits) == expected


@pytest.mark.parametrize(
    ("behind", "expected"),
    [
        ([], [1, 2, 3, 4]),
        ([a_host(2)], [1, 2]),
        ([a_host(1), a_host(2)], [1, 2]),
        ([a_host(0)], []),
        ([a_host(2, available_ports=[], has_public_ip_available=False)], []),
        ([a_host(2, available_ports=[], has_public_ip_available=True)], [1, 2]),
        ([a_host(2, available_ports=[], has_public_ip_available=...)], [1, 2]),
        ([a_host(4, storage_gb=50)], []),
        ([a_host(4, vcpu_count=4)], [1, 2]),
        ([a_host(2, gpus="none")], [1, 2, 3, 4]),
        ([a_host(2) | {"location_id": "elsewhere"}], [1, 2, 3, 4]),
        ([{"id": "x"}, None], [1, 2, 3, 4]),
    ],
)
def test_hosts_say_what_the_list_of_sites_does_not(
    behind: list[dict[str, Any]], expected: list[int]
) -> None:
    """A site none of whose hosts is told is taken by its word."""
    assert counts(a_model(), behind=behind) == expected


def test_the_best_host_of_a_site_makes_its_offer() -> None:
    """Whatever the order of the hosts: forwarded ports first, then the larger machine."""
    small = a_host(1, vcpu_count=4)
    dedicated = a_host(1, available_ports=[])
    large = a_host(1, available_ports=[1, 2])
    for behind in ([small, dedicated, large], [large, small, dedicated]):
        [offer] = offers(a_model(), behind=behind)
        assert parse_traits(offer.traits) == Size(8, 32)
        assert (offer.has_own_address, offer.direct_ports) == (False, 2)


def test_a_host_tells_what_it_has_left() -> None:
    """The lowest of its limits holds; its place may stand in either of two fields."""
    expected = Host(SITE, MODEL, 2, Limits(28, 160, 2000, 14, 82), ports=3, has_address=True)

    assert parse_hosts(hosts(a_host())) == (expected,)
    assert parse_hosts(hosts(a_host() | {"location_id": None})) == (expected,)


@pytest.mark.parametrize("payload", [None, {}, {"data": []}, {"hostnodes": []}])
def test_what_is_no_list_of_hosts_is_refused(payload: object) -> None:
    """Unknown hosts are not none."""
    with pytest.raises(BadResponse):
        parse_hosts(payload)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{SITE}_{MODEL}_2", OfferKey(SITE, MODEL, 2)),
        ("loc_uuid_1_l4-pcie-24gb_16", OfferKey("loc_uuid_1", "l4-pcie-24gb", 16)),
        ("", None),
        ("1", None),
        (f"{MODEL}_1", None),
        (f"{SITE}__1", None),
        (f"_{MODEL}_1", None),
        (f"{SITE}_{MODEL}_0", None),
        (f"{SITE}_{MODEL}_x", None),
        (f"{SITE}_{MODEL}_²", None),
        (f"{SITE}_a/b_1", None),
    ],
)
def test_an_id_says_what_to_ask_for(text: str, expected: OfferKey | None) -> None:
    """It means the same after any refresh."""
    assert parse_offer_id(text) == expected
    assert expected is None or str(expected) == text


def test_a_model_that_is_listed_twice_is_one() -> None:
    """Its first price holds."""
    assert counts(a_model(max_count=1), a_model(max_count=2, price_per_hr=9)) == [1, 2]


@pytest.mark.parametrize(
    ("model", "shown", "expected"),
    [
        (MODEL, "NVIDIA GeForce RTX 4090 PCIe 24GB", ("RTX 4090", 24)),
        (MODEL, ..., ("RTX 4090", 24)),
        (MODEL, MODEL, ("RTX 4090", 24)),
        ("h100-sxm5-80gb", "H100 SXM5 80GB", ("H100 SXM", 80)),
        ("a100-pcie-40gb", "", ("A100 PCIE", 40)),
        ("rtx4000sffada-pcie-20gb", ..., ("RTX 4000 SFF Ada", 20)),
        ("quadrortx5000-pcie-16gb", ..., ("Q RTX 5000", 16)),
        ("v100-nvlink-16gb", ..., ("Tesla V100", 16)),
        ("v100-sxm3-32gb", "Tesla V100 SXM3 32GB", ("Tesla V100", 32)),
        ("x9000", "NVIDIA X9000 PCIe 36 GB", ("NVIDIA X9000 PCIe 36 GB", 36)),
    ],
)
def test_a_gpu_is_known_by_either_of_its_names(
    model: str, shown: str, expected: tuple[str, int]
) -> None:
    """The shown one may be missing, or the raw one again; a new one is kept as it is."""
    [offer] = offers(a_model(v0Name=model, displayName=shown, max_count=1))

    assert (offer.gpu_type, offer.vram_gb) == expected


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (a_site(), ("Chubbuck, Idaho, United States", "US")),
        (a_site(city="Texas", stateprovince="Texas"), ("Texas, United States", "US")),
        (a_site(city=None, stateprovince="", country="Germany"), ("Germany", "DE")),
        (a_site(city="Leeds", stateprovince=..., country="UK"), ("Leeds, UK", "GB")),
        (a_site(city="X", stateprovince=..., country="nl"), ("X, nl", "NL")),
        (a_site(city="X", stateprovince=7, country="Atlantis"), ("X, Atlantis", None)),
        ({}, (None, None)),
    ],
)
def test_a_place_is_told_as_people_know_it(
    row: dict[str, Any], expected: tuple[str | None, str | None]
) -> None:
    """Each part once, and the country's code where it is known."""
    assert place_of(row) == expected


@pytest.mark.parametrize(
    ("tier", "expected"), [(0, False), (1, True), (2, True), (3, True), (4, True), ("x", None)]
)
def test_everybody_but_a_home_is_vouched_for(tier: object, expected: object) -> None:
    """Between them nothing is said."""
    assert parse_market(sites(a_site(tier=tier)), NOW).offers[0].verified is expected


@given(
    site=rows_like(a_site()),
    model=rows_like(a_model()),
    host=rows_like(a_host()["available_resources"]),
)
def test_no_row_raises(site: dict[str, Any], model: dict[str, Any], host: dict[str, Any]) -> None:
    """Any field may hold anything, and no offer comes out without a price above its GPUs'."""
    site = {"gpus": [model, a_model()], **site}
    behind = parse_hosts(hosts(a_host() | {"available_resources": host}))
    with suppress(BadResponse):
        for offer in parse_market(sites(site), NOW, behind).offers:
            assert offer.price_per_hour > 0
            assert parse_offer_id(offer.provider_id) is not None


@given(payload=anything | st.dictionaries(st.just("data"), anything))
def test_no_payload_raises_anything_but_our_errors(payload: object) -> None:
    """Whatever a server that is not the marketplace may send."""
    for parse in (lambda: parse_market(payload, NOW), lambda: parse_hosts(payload)):
        with suppress(ProviderError):
            parse()
