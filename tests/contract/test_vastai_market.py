"""The market of Vast.ai over the wire: whole, priced as it will be billed, and in measure."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from providers.errors import (
    RateLimited,
)
from providers.vastai import VastaiOptions, VastaiProvider, open_vastai
from tests.contract.conftest import Clock, a_spec
from tests.contract.vastai_calls import calls_of
from tests.vast_wire import Misfortune, Operation, VastWire, Word, open_vast_wire


async def test_a_market_of_many_pages_is_read_whole(tmp_path: Path, clock: Clock) -> None:
    """An answer holds 64 rows, however many are asked for."""
    async with open_vast_wire(tmp_path, now=clock, ssh=False, offers=500) as wire:
        provider = await open_vastai(VastaiOptions(wire.api_key, wire.url, pace=0), clock)
        market = await provider.list_offers()
        await provider.close()

    assert market.complete
    assert len(market.offers) == 500
    searches = calls_of(wire, Operation.SEARCH)
    assert 8 <= len(searches) <= 10


async def test_the_price_of_an_offer_is_what_its_machine_costs(
    vastai: VastaiProvider, vast_wire: VastWire, clock: Clock
) -> None:
    """The disk that will be rented is in it, not the few GB that a search prices by itself."""
    offers = {offer.machine_id: offer for offer in (await vastai.list_offers()).offers}
    for offer in list(offers.values())[:6]:
        made = await vastai.create(a_spec(offer))
        clock.forward(60)
        charged = (await vastai.get(made.id)).price_per_hour
        assert charged is not None
        assert round(charged, 6) == round(offer.price_with_disk(50), 6)
    (body, *_) = calls_of(vast_wire, Operation.SEARCH)
    assert isinstance(body, dict)
    assert body["allocated_storage"] == 50


async def test_a_search_that_ignores_its_filters_is_not_believed(
    tmp_path: Path, clock: Clock
) -> None:
    """Every row is looked at again."""
    async with open_vast_wire(tmp_path, now=clock, ssh=False, offers=40) as wire:
        rows = [dict(row) for row in wire.offers()]
        rows[0]["rentable"] = False
        rows[1]["rented"] = True
        rows[2]["external"] = True
        rows[3]["is_bid"] = True
        text = json.dumps({"offers": rows})
        wire.misfortunes.add(Misfortune(Word.ANSWER, Operation.SEARCH, status=200, text=text))
        provider = await open_vastai(VastaiOptions(wire.api_key, wire.url, pace=0), clock)
        market = await provider.list_offers()
        await provider.close()

    listed = {offer.provider_id for offer in market.offers}
    assert listed == {str(row["id"]) for row in rows[4:]}


async def test_offers_of_a_rented_machine_are_out_of_the_market_at_once(
    vastai: VastaiProvider, vast_wire: VastWire
) -> None:
    """What is left of its GPUs is offered anew."""
    offers = (await vastai.list_offers()).offers
    machines = [offer.machine_id for offer in offers]
    offer = next(one for one in offers if machines.count(one.machine_id) > 1)

    await vastai.create(a_spec(offer))

    listed = {one.provider_id for one in (await vastai.list_offers()).offers}
    assert listed == {str(row["id"]) for row in vast_wire.offers()}


async def test_a_used_up_quota_stops_the_searches_until_midnight(
    vastai: VastaiProvider, vast_wire: VastWire, clock: Clock
) -> None:
    """Asking again would only be counted."""
    vast_wire.misfortunes.add(Misfortune(Word.QUOTA))
    for _ in range(3):
        with pytest.raises(RateLimited) as caught:
            await vastai.list_offers()
    assert caught.value.retry_after == timedelta(hours=12)
    assert len(calls_of(vast_wire, Operation.SEARCH)) == 1

    clock.now = datetime(2026, 3, 15, 0, 0, 1, tzinfo=UTC)

    assert (await vastai.list_offers()).offers
