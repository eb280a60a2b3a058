"""The vendor's own command line searches the simulated market, without knowing better."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.long.conftest import Serves
from tests.long.vendor_market import (
    FITTING,
    NOW,
    QUERY,
    Row,
    fitting,
    ids,
    many_rows,
    total_price,
)
from tests.long.vendor_tools import Client, Vendor, client_of, together


def is_default(row: Row) -> bool:
    """What the tools look for without being asked: verified, ours, rentable."""
    return row["verification"] == "verified" and not row["external"]


async def test_offers_are_those_that_the_defaults_mean(client: Client, market: list[Row]) -> None:
    """Verified, rentable, not external; the best score first; prices with 5 GB of disk."""
    offers = await client.json("search", "offers")

    assert ids(market, is_default) == {offer["id"] for offer in offers}
    scores = [offer["score"] for offer in offers]
    assert sorted(scores, key=lambda score: (score is None, -(score or 0))) == scores
    by_id = {row["id"]: row for row in market}
    for offer in offers:
        row = by_id[offer["id"]]
        assert pytest.approx(total_price(row)) == offer["dph_total"]
        assert pytest.approx(row["dph_base"]) == offer["search"]["gpuCostPerHour"]


async def test_a_long_query_finds_exactly_what_it_says(client: Client, market: list[Row]) -> None:
    """Ten conditions; the market has an offer that misses by each of them alone."""
    old, new = await together(
        client.json("search", "offers", QUERY), client.json("search", "offers", "--new", QUERY)
    )

    assert fitting(market) == [offer["id"] for offer in old]
    assert fitting(market) == [offer["id"] for offer in new]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("gpu_name=RTX_4090_D",), [4]),
        (("verified=any external=any geolocation notin [US]",), [1, 9, 10]),
        (("verified=false external=any",), [14, 15]),
        (("-n", "verification=deverified"), [15]),
        (("reliability<=0.97 rentable=true",), [13]),
        (("num_gpus>=2 datacenter=any", "-o", "dph"), [2]),
        (("gpu_name!=RTX_4090",), [4]),
        (("machine_id in [24901,24903]", "-o", "machine_id-"), [3, 1]),
        (("cuda_vers<12.4",), [7]),
        (("geolocation=CA",), [1]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
async def test_every_operator_of_a_query_works(
    client: Client, market: list[Row], arguments: tuple[str, ...], expected: list[int]
) -> None:
    """Equal and not, in and not in, greater and less, booleans; `any` removes a default."""
    offers = await client.json("search", "offers", *arguments)

    assert [market[number]["id"] for number in expected] == [offer["id"] for offer in offers]


async def test_offers_are_shown_as_a_table(client: Client, market: list[Row]) -> None:
    """Numbers of every kind can be printed, nulls too. A larger disk makes one too dear."""
    by_id = {row["id"]: row for row in market}
    expected = [ask for ask in fitting(market) if total_price(by_id[ask], 100) < 0.5]
    printed = await client.run("search", "offers", QUERY, "--storage", "100")

    lines = [line for line in printed.out.splitlines() if "RTX_4090" in line]
    assert len(FITTING) - 1 == len(expected)
    assert expected == [int(re.findall(r"\b44\d{6}\b", line)[0]) for line in lines]
    for line, ask in zip(lines, expected, strict=True):
        assert f"{total_price(by_id[ask], 100):.4f}" in line


async def test_bids_are_searched_for_by_their_type(client: Client, market: list[Row]) -> None:
    """The rows say that they are bids, and what the least bid is."""
    offers, table = await together(
        client.json("search", "offers", QUERY, "--type", "bid", "--limit", 2, "-o", "min_bid"),
        client.run("search", "offers", "--reserved", QUERY),
    )

    assert [(True, 0.2), (True, 0.2)] == [(offer["is_bid"], offer["min_bid"]) for offer in offers]
    assert len(FITTING) == table.out.count("RTX_4090")


async def test_a_search_never_has_more_than_64_rows(
    open_wire: Serves, vendor: Vendor, tmp_path: Path
) -> None:
    """Whatever the limit; nothing says that there are more."""
    wire = await open_wire(many_rows(70, NOW))
    client = client_of(vendor, tmp_path / "home", wire.url, wire.api_key)

    limited, unlimited, few = await together(
        client.json("search", "offers", "--limit", 1000),
        client.json("search", "offers"),
        client.json("search", "offers", "--limit", 3),
    )

    assert [64, 64, 3] == [len(offers) for offers in (limited, unlimited, few)]
