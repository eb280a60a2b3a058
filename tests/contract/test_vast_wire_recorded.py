"""The simulated Vast.ai beside what the real one has answered: same fields, and any market."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.contract.conftest import Clock
from tests.contract.vast_customers import Customer, still_customer

FOLDER = Path(os.environ.get("RECORDED_MARKETS", ""))
OFFERS = FOLDER / "vast_offers"
FULL = "computeindex_2026-07-18_bundles.json"
LARGE = "vastcli_2024-11-05_all.json"

pytestmark = pytest.mark.skipif(
    not os.environ.get("RECORDED_MARKETS") or not OFFERS.is_dir(),
    reason="RECORDED_MARKETS names no folder of recorded markets",
)


def recorded(name: str) -> list[Any]:
    """The rows of a recorded search."""
    return list(json.loads((OFFERS / name).read_bytes())["offers"])


async def test_an_offer_has_the_fields_of_a_real_one(tmp_path: Path, clock: Clock) -> None:
    """All of them, and no others."""
    async with still_customer(tmp_path, clock) as customer:
        rows = await customer.search()

    assert recorded(FULL)[0].keys() == rows[0].keys()


async def test_an_instance_has_the_fields_of_a_real_one(tmp_path: Path, clock: Clock) -> None:
    """At least."""
    name = "instance_2026-02-07_running_ssh_proxy.json"
    real = json.loads((FOLDER / "vast_instances" / name).read_bytes())["instances"]
    async with still_customer(tmp_path, clock) as customer:
        machine = await customer.rent()
        clock.forward(60)
        row = await customer.show(machine)

    assert set() == real.keys() - row.keys()


async def test_a_recorded_market_is_searched_and_rented(tmp_path: Path, clock: Clock) -> None:
    """With prices as they were recorded for the same disk, and odd values as they are."""
    rows = recorded(LARGE)
    async with still_customer(tmp_path, clock, rows=rows) as customer:
        found = await customer.search(allocated_storage=5.0, gpu_name={"eq": "RTX 4090"})
        before = len(customer.wire.offers())
        instance = await rented(customer, found[0])
        after = customer.wire.offers()

    by_id = {row["id"]: row for row in rows}
    assert 64 == len(found)
    for row in found:
        assert pytest.approx(by_id[row["id"]]["dph_total"]) == row["dph_total"]
    gone = by_id.keys() - {row["id"] for row in after}
    assert before - len(after) == len(gone)
    assert {instance["machine_id"]} == {by_id[one]["machine_id"] for one in gone}


async def rented(customer: Customer, offer: Any) -> Any:
    """The row of the instance that was made of an offer."""
    _, body = await customer.create(offer["id"], disk=8)
    assert body["success"] is True, body
    return await customer.show(body["new_contract"])
