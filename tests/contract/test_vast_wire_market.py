"""Searching and renting at the simulated Vast.ai: what is found, what it costs, what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.contract.conftest import Clock
from tests.contract.vast_customers import PLAIN, Customer, still_customer
from tests.vast_wire import Misfortune, Word


@pytest.fixture
async def customer(tmp_path: Path, clock: Clock) -> AsyncIterator[Customer]:
    """A customer of a large market that stands still."""
    async with still_customer(tmp_path, clock, offers=200) as somebody:
        yield somebody


async def test_a_search_tells_at_most_64_rows_whatever_is_asked_for(customer: Customer) -> None:
    """The best of them, by score."""
    found = await customer.search(limit=3000)

    scores = [row["score"] for row in found]
    assert 64 == len(found)
    assert sorted(scores, reverse=True) == scores
    assert 5 == len(await customer.search(limit=5))


async def test_the_price_is_that_of_the_disk_that_is_asked_for(customer: Customer) -> None:
    """8 GB without a word."""
    for query, disk in (({}, 8), ({"allocated_storage": 100}, 100)):
        row = (await customer.search(**query))[0]

        cost = disk * row["storage_cost"] / 720
        assert pytest.approx(cost) == row["storage_total_cost"]
        assert pytest.approx(row["dph_base"] + cost) == row["dph_total"]
        assert pytest.approx(row["dph_total"]) == row["search"]["totalHour"]
        assert pytest.approx(cost) == row["instance"]["totalHour"]


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        ({"gpu_name": {"eq": "RTX 4090"}}, lambda row: row["gpu_name"] == "RTX 4090"),
        ({"gpu_name": {"in": ["L4", "A40"]}}, lambda row: row["gpu_name"] in ("L4", "A40")),
        ({"gpu_name": {"notin": ["L4"]}}, lambda row: row["gpu_name"] != "L4"),
        ({"num_gpus": {"gte": "2"}}, lambda row: row["num_gpus"] >= 2),
        ({"dph_total": {"lt": "0.5", "gt": 0.2}}, lambda row: 0.2 < row["dph_total"] < 0.5),
        ({"gpu_ram": {"lte": 24000.0}}, lambda row: row["gpu_ram"] <= 24000),
        ({"verified": {"eq": True}}, lambda row: row["verification"] == "verified"),
        ({"verified": {"eq": "false"}}, lambda row: row["verification"] != "verified"),
        ({"external": {"eq": False}}, lambda row: row["external"] is None),
        ({"reliability": {"gt": "0.9"}}, lambda row: row["reliability2"] > 0.9),
        ({"driver_version": {"gte": 570000000}}, lambda row: row["driver_vers"] >= 570000000),
        (
            {"geolocation": {"in": ["US", "SE"]}},
            lambda row: (row["geolocation"] or "")[-2:] in ("US", "SE"),
        ),
        ({"datacenter": {"eq": True}}, lambda row: row["hosting_type"] == 1),
        ({"direct_port_count": {"eq": 0}}, lambda row: row["direct_port_count"] == 0),
        ({"duration": {"gt": 259200.0}}, lambda row: row["duration"] > 259200),
        ({"colour": {"eq": "red"}}, bool),
        ({"rented": {"eq": True}}, lambda row: row["rented"] is False),
    ],
)
async def test_a_filter_is_applied_by_the_type_of_its_column(
    customer: Customer, query: Any, holds: Any
) -> None:
    """Numbers may be told as texts; what the service does not know it ignores."""
    found = await customer.search(**query)

    everything = customer.wire.offers()
    assert found
    assert all(holds(row) for row in found)
    if not query.keys() & {"dph_total", "duration"}:
        assert min(64, sum(1 for row in everything if holds(row))) == len(found)


async def test_the_order_is_by_several_columns(customer: Customer) -> None:
    """As the clients send it."""
    found = await customer.search(order=[["num_gpus", "desc"], ["dph_total", "asc"]])

    keys = [(-row["num_gpus"], row["dph_total"]) for row in found]
    assert sorted(keys) == keys


async def test_the_other_spellings_of_a_search_find_the_same(customer: Customer) -> None:
    """GET with `q`, PUT with `q`, and a key is not needed."""
    query = {"gpu_name": {"eq": "RTX 4090"}}
    posted = await customer.search(**query)
    put = await customer.ask("PUT", "/api/v0/search/asks/", {"select_cols": ["*"], "q": query})
    got = await customer.ask("GET", '/api/v0/bundles/?q={"gpu_name":{"eq":"RTX 4090"}}')
    async with aiohttp.request("POST", customer.wire.url + "/api/v0/bundles/", json=query) as one:
        anonymous = await one.json()
        assert "application/json" == one.headers["Content-Type"]

    assert posted == put[1]["offers"] == got[1]["offers"] == anonymous["offers"]


async def test_an_offer_is_found_by_its_contract_and_not_by_its_id(customer: Customer) -> None:
    """As the service does it."""
    ask = customer.wire.offers()[0]["id"]

    assert [] == await customer.search(id={"eq": ask})
    assert [ask] == [row["id"] for row in await customer.search(ask_contract_id={"eq": ask})]


async def test_renting_takes_the_overlapping_offers_away_until_the_end(customer: Customer) -> None:
    """An offer that comes back has another id."""
    before = customer.wire.offers()
    whole = next(row for row in before if row["num_gpus"] == 4 and row["gpu_frac"] == 1)
    machine = [row["id"] for row in before if row["machine_id"] == whole["machine_id"]]
    _, body = await customer.create(whole["id"])

    after = {row["id"] for row in customer.wire.offers()}
    gone = await customer.create(whole["id"], cancel_unavail=False)
    await customer.ask("DELETE", f"/api/v0/instances/{body['new_contract']}/")
    back = [r for r in customer.wire.offers() if r["machine_id"] == whole["machine_id"]]

    assert {row["id"] for row in before} - after == set(machine)
    assert 3 == len(machine) == len(back)
    assert not {row["id"] for row in back} & set(machine)
    assert (400, "invalid_args") == (gone[0], gone[1]["error"])
    assert "no_such_ask" in gone[1]["msg"]


async def test_offers_of_other_gpus_of_a_machine_stay(customer: Customer) -> None:
    """Only what overlaps is taken."""
    before = customer.wire.offers()
    single = next(row for row in before if row["num_gpus"] == 1 and row["gpu_frac"] == 0.25)
    await customer.create(single["id"])

    left = [
        r["num_gpus"] for r in customer.wire.offers() if r["machine_id"] == single["machine_id"]
    ]

    assert [2] == left


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"image": None}, "invalid_args"),
        ({"image": "i" * 1025}, "invalid_args"),
        ({"label": "l" * 257}, "label_too_long"),
        ({"disk": 7}, "invalid_args"),
        ({"disk": "a lot"}, "invalid_args"),
        ({"disk": 100_000}, "invalid_args"),
        ({"price": 0.0001}, "invalid_price"),
        ({"price": 129}, "invalid_price"),
        ({"env": "-e A=1"}, "invalid_args"),
        ({"env": {"A": "a" * 257}}, "invalid_args"),
        ({"env": {f"A{n}": "a" * 250 for n in range(140)}}, "invalid_args"),
        ({"env": {f"-p {n}:{n}": "1" for n in range(1, 66)}}, "invalid_args"),
        ({"onstart": "x" * 4097}, "invalid_args"),
        ({"runtype": "telnet"}, "invalid_args"),
        ({"template_hash_id": "none"}, "invalid_args"),
    ],
)
async def test_what_cannot_be_rented_is_refused(
    customer: Customer, fields: Any, error: str
) -> None:
    """And nothing is rented."""
    ask = customer.wire.offers()[0]["id"]

    status, body = await customer.create(ask, **fields)

    assert (400, error) == (status, body["error"])
    assert [] == customer.wire.instances()


@pytest.mark.parametrize("status", [400, 404, 410])
async def test_a_vanished_offer_is_told_in_three_ways(customer: Customer, status: int) -> None:
    """And is not offered again."""
    ask = customer.wire.offers()[0]["id"]
    customer.wire.misfortunes.add(Misfortune(Word.OFFER_GONE, status=status))

    told, body = await customer.create(ask)

    assert status == told
    assert "no_such_ask" in body["error"] + body["msg"]
    assert ask not in {row["id"] for row in customer.wire.offers()}


async def test_without_credit_nothing_is_rented(customer: Customer) -> None:
    """Not even the smallest."""
    customer.wire.credit = Decimal(0)

    status, body = await customer.create(customer.wire.offers()[0]["id"])

    assert (400, "insufficient_credit") == (status, body["error"])


@pytest.mark.parametrize("is_low", [True, False], ids=["low bid", "host does not start it"])
async def test_a_refused_start_leaves_a_stopped_instance_whose_disk_is_billed(
    customer: Customer, clock: Clock, is_low: bool
) -> None:
    """`success` is false, and there is a contract."""
    row = next(row for row in customer.wire.offers() if row["min_bid"] > 0.01)
    if not is_low:
        customer.wire.misfortunes.add(Misfortune(Word.STOPPED_CONTRACT))
    before = customer.wire.credit

    status, body = await customer.create(row["id"], **({"price": 0.005} if is_low else {}))
    clock.forward(3600)
    told = customer.wire.instance(body["new_contract"])

    assert (200, False) == (status, body["success"])
    assert told is not None
    assert ("stopped", "stopped") == (told["actual_status"], told["cur_state"])
    assert float(before - customer.wire.credit) == pytest.approx(
        20 * row["storage_cost"] / 720, abs=1e-5
    )


@pytest.mark.parametrize("cancel_unavail", [True, False, None])
async def test_a_busy_host_is_an_error_only_for_whoever_asks_for_one(
    customer: Customer, cancel_unavail: bool | None
) -> None:
    """For the others it is a stopped machine; on demand, the service asks for the error itself."""
    customer.wire.misfortunes.add(Misfortune(Word.HOST_BUSY))

    status, body = await customer.create(
        customer.wire.offers()[0]["id"], cancel_unavail=cancel_unavail
    )

    left = [row["actual_status"] for row in customer.wire.instances()]
    if cancel_unavail is False:
        assert (200, True, ["stopped"]) == (status, body["success"], left)
    else:
        assert (410, "no_such_ask", []) == (status, body["error"], left)


async def test_the_answer_to_a_creation_has_the_key_of_the_instance(customer: Customer) -> None:
    """With which that one instance can be shown, stopped and destroyed, and nothing else done."""
    asks = [row["id"] for row in customer.wire.offers() if row["gpu_frac"] == 1]
    own, other = [(await customer.create(ask))[1] for ask in asks[:2]]
    key, path = own["instance_api_key"], f"/api/v0/instances/{own['new_contract']}/"

    assert 200 == (await customer.ask("GET", path, key=key))[0]
    assert 200 == (await customer.ask("PUT", path, {"state": "stopped"}, key=key))[0]
    assert 403 == (await customer.ask("PUT", path, {"label": "theirs"}, key=key))[0]
    for method, elsewhere in (
        ("DELETE", f"/api/v0/instances/{other['new_contract']}/"),
        ("GET", "/api/v1/instances/"),
        ("PUT", f"/api/v0/asks/{asks[2]}/"),
    ):
        assert 403 == (await customer.ask(method, elsewhere, PLAIN, key=key))[0]
    assert 200 == (await customer.ask("DELETE", path, key=key))[0]
    assert [other["new_contract"]] == [row["id"] for row in customer.wire.instances()]


async def test_a_key_that_nobody_has_opens_nothing(customer: Customer) -> None:
    """401, which the service has also said with 404."""
    customer.wire.misfortunes.add(Misfortune(Word.BAD_KEY, status=404))

    second = await customer.listed()
    first = await customer.ask("GET", "/api/v1/instances/", key="wrong")

    assert [401, 404] == [first[0], second[0]]
    assert "auth_error" == first[1]["error"] == second[1]["error"]
