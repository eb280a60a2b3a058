"""The simulated market: large enough, the same everywhere, moving only when it may."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from providers.base import Offer
from providers.errors import BadResponse
from providers.gpus import gpu_type, is_same_gpu, nominal_vram_gb
from providers.simulator.catalog import SUPPLY, model_of, nominal_gb, wrong_model
from providers.simulator.market import default_market, host_of, recorded_market

NOW = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)
DRIFT = timedelta(seconds=30)
STILL = timedelta()


def listed(offers: int = 400, *, drift: timedelta = STILL, seed: int = 1) -> Mapping[str, Offer]:
    """The default market at one instant."""
    return default_market(seed=seed, offers=offers, drift=drift).at(NOW)


def test_the_default_market_is_large_and_varied() -> None:
    """At least 300 machines, 15 models, all prices of the field, every place and doubt."""
    offers = listed().values()

    assert len(offers) == 400
    assert len({offer.gpu_type for offer in offers}) >= 15
    assert min(offer.price_per_hour for offer in offers) >= Decimal("0.05")
    assert 10 < max(offer.price_per_hour for offer in offers) <= 30
    assert {offer.gpu_count for offer in offers} == {1, 2, 4, 8}
    assert {offer.verified for offer in offers} == {True, False}
    assert {offer.max_duration for offer in offers} == {None}
    for unknown in ("reliability", "location", "country", "cuda_version"):
        assert None in {getattr(offer, unknown) for offer in offers}


def test_every_offer_is_a_machine_of_its_own() -> None:
    """So that any number of them can be rented at the same time."""
    offers = listed(2000).values()

    assert len({host_of(offer) for offer in offers}) == 2000
    assert len({offer.id for offer in offers}) == 2000


def test_every_model_has_an_offer_that_a_careful_consumer_takes() -> None:
    """Verified, and reliable as far as that is known."""
    careful = {
        offer.gpu_type
        for offer in listed(320).values()
        if offer.verified and (offer.reliability is None or offer.reliability >= 0.9)
    }

    assert careful == set(SUPPLY)


def test_prices_have_at_most_six_decimals() -> None:
    """They are shown as they are."""
    offers = listed(drift=DRIFT).values()
    exponents = {o.price_per_hour.as_tuple().exponent for o in offers}

    assert all(isinstance(exponent, int) and exponent >= -6 for exponent in exponents)


def test_the_same_seed_gives_the_same_market() -> None:
    """In every process; a larger market begins with the smaller one."""
    assert listed() == listed()
    assert list(listed(100).values()) == list(listed().values())[:100]
    assert listed(seed=2) != listed()


def test_without_drift_the_market_stands_still() -> None:
    """For ever."""
    market = default_market(seed=1, offers=50, drift=STILL)

    assert market.at(NOW) == market.at(NOW + timedelta(days=400))


def test_drift_moves_prices_by_less_than_the_usual_tolerance() -> None:
    """A price seen in one period and charged in another is no reason to refuse a machine."""
    market = default_market(seed=1, offers=400, drift=DRIFT)
    periods = [market.at(NOW + n * DRIFT) for n in range(20)]
    seen = [[period[n].price_per_hour for period in periods if n in period] for n in listed()]

    assert all(max(prices) <= min(prices) * Decimal("1.05") for prices in seen)
    assert sum(len(set(prices)) > 1 for prices in seen) > 350


def test_drift_takes_a_few_offers_away_and_brings_them_back() -> None:
    """Most of the market is there at any instant."""
    market = default_market(seed=1, offers=400, drift=DRIFT)
    missing = [set(listed()) - set(market.at(NOW + n * DRIFT)) for n in range(0, 120, 4)]

    assert all(len(away) < 20 for away in missing)
    ever = set().union(*missing)
    assert len(ever) > 10
    assert ever.isdisjoint(set.intersection(*missing))


def test_drift_is_the_same_for_everybody_at_one_instant() -> None:
    """Nothing is remembered from period to period."""
    market = default_market(seed=1, offers=100, drift=DRIFT)
    market.at(NOW)
    later = NOW + 7 * DRIFT

    assert market.at(later) == default_market(seed=1, offers=100, drift=DRIFT).at(later)


def a_row(**changes: Any) -> dict[str, Any]:
    """An offer as Vast.ai lists it."""
    row = {"id": 1, "gpu_name": "RTX 4090", "num_gpus": 1, "gpu_ram": 24564, "dph_base": 0.3}
    return row | changes


def test_a_recorded_market_stands_still_and_keeps_its_hosts() -> None:
    """Rows of one machine exclude each other; a row without one stands for itself."""
    market = recorded_market(
        {"offers": [a_row(machine_id=7), a_row(id=2, machine_id=7, num_gpus=2), a_row(id=3)]}
    )
    offers = market.at(NOW)

    assert market.at(NOW + timedelta(days=1)) == offers
    assert {n: offer.provider for n, offer in offers.items()} == dict.fromkeys("123", "simulator")
    assert [host_of(offer) for offer in offers.values()] == ["7", "7", "offer 3"]


def test_what_is_no_recorded_market_is_refused() -> None:
    """It does not become an empty one."""
    with pytest.raises(BadResponse):
        recorded_market({"offers": "none"})


@pytest.mark.parametrize("name", SUPPLY)
def test_a_model_shows_the_gpu_that_was_rented(name: str) -> None:
    """What its driver prints stands the comparison that a consumer makes."""
    model = model_of(name, nominal_gb(name))

    assert gpu_type(model.driver_name) == name
    assert nominal_vram_gb(model.mib) == nominal_gb(name)
    assert model.mib >= 0.9 * 1024 * nominal_gb(name)


def test_a_model_with_another_memory_shows_that_memory() -> None:
    """Cards of one name come in several sizes."""
    model = model_of("A100 SXM4", 40)

    assert (model.driver_name, model.mib) == ("NVIDIA A100-SXM4-40GB", 40960)


def test_a_model_that_is_not_in_the_catalog_shows_itself() -> None:
    """A recorded market may hold anything."""
    model = model_of("RTX 9090", 100)

    assert is_same_gpu("RTX 9090", model.driver_name)
    assert model.mib == 102_400


@pytest.mark.parametrize("name", [*SUPPLY, "GTX 1070"])
def test_a_wrong_model_is_another_and_smaller_one(name: str) -> None:
    """Whatever was rented."""
    rented, wrong = model_of(name, 8 if name == "GTX 1070" else nominal_gb(name)), wrong_model(name)

    assert not is_same_gpu(name, wrong.driver_name)
    assert wrong.mib <= rented.mib
