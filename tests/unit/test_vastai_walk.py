"""Reading a market whose answers hold at most 64 rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.errors import BadResponse, ProviderError
from providers.vastai.walk import (
    KEPT_FOR,
    Slice,
    Walk,
    begin_reading,
    is_complete,
    offer_list,
    present_search,
    take_answer,
)
from tests.unit.vastai_rows import NOW, anything, rows_like

Row = dict[str, Any]
STILL = timedelta(minutes=7)
Answering = Callable[[Sequence[Row], float], list[Row]]


def a_row(ask: int, price: float, **changes: Any) -> Row:
    """An offer as the marketplace sends it."""
    row: Row = {
        "id": ask,
        "gpu_name": "RTX 4090",
        "num_gpus": 1,
        "gpu_ram": 24564,
        "dph_base": price,
        "dph_total": price,
        "storage_cost": 0.0,
    }
    return row | changes


def a_market(count: int, step: float = 0.01) -> list[Row]:
    """So many offers, each dearer than the one before."""
    return [a_row(n, round(0.1 + n * step, 4)) for n in range(1, count + 1)]


def answering(market: Sequence[Row], floor: float) -> list[Row]:
    """What the marketplace answers to a search: the 64 cheapest rows from the floor on."""
    found = sorted(
        (row for row in market if row["dph_total"] >= floor), key=lambda row: row["dph_total"]
    )
    return found[:64]


def read(
    walk: Walk,
    market: Sequence[Row],
    now: datetime = NOW,
    *,
    searches: int = 1000,
    answer: Answering = answering,
) -> Walk:
    """The walk after a reading of at most so many searches."""
    walk = begin_reading(walk, now)
    while walk.floor is not None and walk.searches < searches:
        body = present_search(walk.floor)
        floor = body["dph_total"]
        assert isinstance(floor, dict)
        walk = take_answer(walk, {"offers": answer(market, floor["gte"])}, now)
    return walk


def asks(walk: Walk) -> list[str]:
    """The ids of the known offers, the cheapest first."""
    return [offer.provider_id for offer in offer_list(walk, 0).offers]


def test_a_search_asks_for_the_cheapest_from_a_floor_on() -> None:
    """With the included disk in its prices, on demand, verified or not."""
    assert present_search(Decimal("0.25")) == {
        "rentable": {"eq": True},
        "external": {"eq": False},
        "dph_total": {"gte": 0.25},
        "order": [["dph_total", "asc"]],
        "type": "on-demand",
        "limit": 1000,
        "allocated_storage": 50,
    }


@pytest.mark.parametrize(
    ("count", "searches"), [(0, 1), (1, 1), (63, 2), (64, 2), (200, 4), (1000, 16)]
)
def test_a_market_is_read_whole_in_as_few_searches_as_it_has_answers(
    count: int, searches: int
) -> None:
    """The row on the floor comes twice and counts once."""
    walk = read(Walk(), a_market(count))

    assert asks(walk) == [str(n) for n in range(1, count + 1)]
    assert (is_complete(walk), walk.searches) == (True, searches)
    assert offer_list(walk, 0).complete


def test_a_reading_goes_on_where_the_one_before_had_to_stop() -> None:
    """Each begins with the cheapest answer, and together they cover the market."""
    market = a_market(300)
    reached = []
    walk = Walk()
    for n in range(4):
        walk = read(walk, market, NOW + timedelta(minutes=n), searches=2)
        reached.append((len(walk.seen), is_complete(walk)))

    assert reached == [(127, False), (190, False), (253, False), (300, True)]
    assert walk.cursor == 0


def test_the_cheapest_answer_of_every_reading_is_fresh() -> None:
    """What was cheapest and is rented is gone at once; what is dearer waits for its turn."""
    market = a_market(200)
    walk = read(Walk(), market)

    walk = read(walk, market[1:-1], NOW + timedelta(minutes=1), searches=1)

    assert "1" not in asks(walk)
    assert "200" in asks(walk)


def test_an_answer_replaces_all_that_was_known_of_its_prices() -> None:
    """Sold offers vanish, new ones appear, and moved ones move."""
    before = a_market(150)
    after = [*before[1:70], a_row(70, 0.105), *before[75:140], a_row(999, 3.0)]

    walk = read(read(Walk(), before), after, NOW + timedelta(minutes=1))

    assert sorted(asks(walk), key=int) == sorted({str(row["id"]) for row in after}, key=int)
    assert is_complete(walk)
    assert {seen.offer.fetched_at for seen in walk.seen.values()} == {NOW + timedelta(minutes=1)}


def test_rows_that_no_answer_covers_any_more_fall_out() -> None:
    """The market is then no longer known whole."""
    market = a_market(200)
    walk = read(Walk(), market)

    walk = read(walk, market, NOW + KEPT_FOR, searches=1)
    assert (len(walk.seen), is_complete(walk)) == (200, True)

    walk = read(walk, market, NOW + KEPT_FOR + timedelta(minutes=1), searches=1)
    assert (len(walk.seen), is_complete(walk)) == (64, False)


def test_more_rows_of_one_price_than_an_answer_holds_are_walked_past() -> None:
    """Which of them were left out cannot be known, and is said."""
    market = [*a_market(10), *(a_row(n, 0.5) for n in range(1000, 1100)), *a_market(80, 0.02)]
    market = list({row["id"]: row for row in market}.values())

    walk = read(Walk(), market)

    assert str(max(row["id"] for row in market if row["dph_total"] > 1)) in asks(walk)
    assert not is_complete(walk)


@pytest.mark.parametrize(
    "answer",
    [
        lambda market, _floor: answering(market, 0),
        lambda market, floor: answering(market, floor)[::-1],
        lambda market, floor: [{**row, "dph_total": None} for row in answering(market, floor)],
    ],
    ids=["without the floor", "without the order", "without prices"],
)
def test_an_answer_that_ignores_the_search_ends_the_reading(answer: Answering) -> None:
    """Its offers are real, but what else there is cannot be told."""
    walk = read(Walk(), a_market(200), answer=answer, searches=9)

    assert walk.floor is None
    assert walk.searches <= 2
    assert (len(walk.seen), is_complete(walk)) == (64, False)


def test_a_marketplace_that_gives_more_rows_is_walked_faster() -> None:
    """The limit of 64 is its own, not ours."""

    def generous(market: Sequence[Row], floor: float) -> list[Row]:
        return sorted(
            (row for row in market if row["dph_total"] >= floor), key=lambda row: row["dph_total"]
        )[:1000]

    walk = read(Walk(), a_market(700), answer=generous)

    assert (len(walk.seen), is_complete(walk), walk.searches) == (700, True, 2)


def test_only_what_can_be_rented_on_demand_is_kept() -> None:
    """Interruptible rows are left out; rows that cannot be read are counted per reading."""
    market = [a_row(1, 0.1), a_row(2, 0.2, gpu_name=None), a_row(3, 0.3, is_bid=True)]

    walk = read(read(Walk(), market), market)

    assert asks(walk) == ["1"]
    assert offer_list(walk, 0).dropped == 1


@pytest.mark.parametrize("most", [2, 3, 50, 64, 400])
def test_a_market_is_read_whole_however_many_rows_an_answer_holds(most: int) -> None:
    """How many that are is told by nobody, and may change."""

    def cut(market: Sequence[Row], floor: float) -> list[Row]:
        rows = sorted((row for row in market if row["dph_total"] >= floor), key=_price)
        return rows[:most]

    walk = read(Walk(), a_market(300), answer=cut)

    assert (len(walk.seen), is_complete(walk)) == (300, True)


def _price(row: Row) -> float:
    return float(row["dph_total"])


def test_what_is_no_market_leaves_the_walk_as_it_was() -> None:
    """It is an error, never a market without offers."""
    walk = read(Walk(), a_market(100), searches=1)

    with pytest.raises(BadResponse):
        take_answer(walk, {"success": False}, NOW)


def test_the_coverage_is_told_in_words() -> None:
    """How much is known, up to which price, and how many searches that takes."""
    market = a_market(100)

    assert offer_list(read(Walk(), market, searches=1), 7).detail == (
        "Offers known: 64 (not all, up to $0.74 an hour). Searches: 1 made, 7 left for now."
    )
    assert offer_list(read(Walk(), market), 7).detail == (
        "Offers known: 100 (the whole market). Searches: 2 made, 7 left for now."
    )


prices = st.builds(
    lambda count, chance: [round(chance.uniform(0.01, 5), 3) for _ in range(count)],
    st.integers(0, 250),
    st.randoms(use_true_random=False),
)


@settings(max_examples=30)
@given(before=prices, after=prices, searches=st.integers(1, 5))
def test_a_whole_reading_knows_the_market_as_it_is(
    before: list[float], after: list[float], searches: int
) -> None:
    """Whatever was known before, unless more rows than an answer holds have one price."""
    earlier = read(Walk(), [a_row(n, p) for n, p in enumerate(before)], searches=searches)
    market = [a_row(n + 50, price) for n, price in enumerate(after)]

    walk = read(Walk(seen=earlier.seen, slices=earlier.slices), market, NOW + timedelta(minutes=1))

    most_alike = max(map(after.count, after), default=0)
    if most_alike < 32:
        assert set(asks(walk)) == {str(row["id"]) for row in market}
        # A market of one price alone cannot be told from an answer that is full.
        assert is_complete(walk) or 1 < most_alike == len(after)


@settings(max_examples=30)
@given(markets=st.lists(prices, min_size=1, max_size=4), searches=st.integers(1, 4))
def test_the_market_is_called_whole_only_when_it_is(
    markets: list[list[float]], searches: int
) -> None:
    """After readings that had to stop, of a market that changed and then stood still."""
    walk, now = Walk(), NOW
    for market in [*markets, *[markets[-1]] * 6]:
        now += timedelta(minutes=1)
        walk = read(walk, [a_row(n, p) for n, p in enumerate(market)], now, searches=searches)

        assert all(a.high is not None and a.high <= b.low for a, b in pairwise(walk.slices))
        assert all(part.high is None or part.low < part.high for part in walk.slices)
    still = replace(walk, slices=tuple(s for s in walk.slices if s.read_at > now - STILL))
    if is_complete(still):
        assert set(asks(walk)) == {str(n) for n in range(len(markets[-1]))}


def a_slice(low: int, high: int | None, read_at: datetime = NOW) -> Slice:
    """A range of prices of which everything was read."""
    return Slice(
        Decimal(low), None if high is None else Decimal(high), is_whole=True, read_at=read_at
    )


def test_an_answer_splits_what_was_covered_before() -> None:
    """Only the prices that it covers are of its age."""
    later = NOW + timedelta(minutes=1)
    walk = Walk(slices=(a_slice(0, 9),), floor=Decimal(2), searches=1)

    walk = take_answer(walk, {"offers": [a_row(n, 2 + n / 64) for n in range(65)]}, later)

    assert walk.slices == (a_slice(0, 2), a_slice(2, 3, later), a_slice(3, 9))


@pytest.mark.parametrize(
    ("slices", "expected"),
    [
        ((), False),
        ((a_slice(0, None),), True),
        ((a_slice(0, 2), a_slice(2, None)), True),
        ((a_slice(0, 1), a_slice(2, None)), False),
        ((a_slice(1, None),), False),
        ((a_slice(0, 2),), False),
        ((a_slice(0, 2), replace(a_slice(2, None), is_whole=False)), False),
    ],
)
def test_a_market_is_whole_without_a_gap(slices: tuple[Slice, ...], expected: bool) -> None:
    """From nothing to the end, and nothing left out in between."""
    assert is_complete(Walk(slices=slices)) is expected


def test_a_gap_between_two_answers_is_not_the_whole_market() -> None:
    """The cheapest answer reaches less far where cheap offers have come."""
    market = a_market(100)
    walk = read(Walk(), market)
    cheaper = [*(a_row(n, 0.05) for n in range(500, 510)), *market]

    walk = read(walk, cheaper, NOW + timedelta(minutes=6), searches=1)
    assert is_complete(walk)

    walk = begin_reading(walk, NOW + KEPT_FOR + timedelta(minutes=1))
    assert (len(walk.slices), is_complete(walk)) == (1, False)


ODD_ROW = a_row(1, 0.5, machine_id=7, disk_space=80.5, duration=1e6, driver_version="535.183.01")


@given(
    payload=anything
    | st.fixed_dictionaries({"offers": anything | st.lists(rows_like(ODD_ROW), max_size=3)})
)
def test_no_answer_raises_anything_but_our_errors(payload: object) -> None:
    """Whatever a server that is not the marketplace may send."""
    with suppress(ProviderError):
        offer_list(take_answer(Walk(), payload, NOW), 0)
