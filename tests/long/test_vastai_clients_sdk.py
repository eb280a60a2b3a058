"""The vendor's own SDK works on the simulated service, in an environment of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.long.conftest import Serves
from tests.long.vendor_market import (
    NOW,
    QUERY,
    Row,
    fitting,
    ids,
    many_rows,
    total_price,
)
from tests.long.vendor_rentals import KEY, PUBLIC_KEY, attached_ids, log_in, until_locked_out
from tests.long.vendor_tools import Client, Sdk, Vendor, client_of
from tests.vast_wire import Misfortune, Operation, VastWire, Word
from tests.waiting import eventually


async def until_status(sdk: Sdk, contract: int, status: str = "running") -> dict[str, Any]:
    """The row of an instance once it has that status."""

    async def look() -> dict[str, Any] | None:
        row: dict[str, Any] = await sdk("show_instance", contract)
        return row if row["actual_status"] == status else None

    row: dict[str, Any] = await eventually(look)
    return row


async def rent(sdk: Sdk, ask: int, **fields: Any) -> int:
    """The id of the instance that is made of an offer."""
    made = await sdk("create_instance", ask, **{"image": "ubuntu", **fields})
    assert made["success"] is True
    assert made["instance_api_key"]
    contract: int = made["new_contract"]
    return contract


async def test_offers_are_found_in_every_way(client: Client, market: list[Row]) -> None:
    """By a text, by filters, by the new search, as bids, with the disk that is wanted."""
    async with client.sdk() as sdk:
        by_text = await sdk("search_offers", QUERY)
        by_new = await sdk("search_offers_new", QUERY)
        by_filters = await sdk("search_offers", {"gpu_name": {"eq": "RTX 4090 D"}})
        bids = await sdk("search_offers", QUERY, type="bid", storage=40, order="dph_total", limit=2)
        everything = await sdk("search_offers", no_default=True)

    assert fitting(market) == [offer["id"] for offer in by_text]
    assert fitting(market) == [offer["id"] for offer in by_new]
    assert ids(market, lambda row: row["gpu_name"] == "RTX 4090 D") == {
        offer["id"] for offer in by_filters
    }
    fitting_rows = [row for row in market if row["id"] in fitting(market)]
    cheapest = sorted(fitting_rows, key=lambda row: total_price(row, 40))[:2]
    assert [row["id"] for row in cheapest] == [offer["id"] for offer in bids]
    assert [total_price(row, 40) for row in cheapest] == pytest.approx(
        [offer["dph_total"] for offer in bids]
    )
    assert all(offer["is_bid"] for offer in bids)
    assert ids(market, lambda _: True) == {offer["id"] for offer in everything}


async def test_a_machine_is_rented_reached_and_destroyed(client: Client, market: list[Row]) -> None:
    """The address that the SDK tells is the proxy's; the row has the direct one."""
    async with client.sdk() as sdk:
        contract = await rent(
            *(sdk, market[0]["id"]),
            ssh=True,
            direct=True,
            label="mine",
            disk=32,
            cancel_unavail=True,
            env="-e A=1 -p 8000:8000",
        )
        row = await until_status(sdk, contract)
        assert ("mine", "ssh_direc ssh_proxy", {"A": "1", "-p 8000:8000": "1"}) == (
            row["label"],
            row["image_runtype"],
            row["extra_env"],
        )
        assert (await sdk("attach_ssh", contract, PUBLIC_KEY))["success"] is True
        url = await sdk("ssh_url", contract)
        assert f"ssh://root@{row['ssh_host']}:{row['ssh_port']}" == url
        assert url.replace("ssh://", "scp://") == await sdk("scp_url", contract)
        direct = f"ssh://root@{row['public_ipaddr']}:{row['ports']['22/tcp'][0]['HostPort']}"
        for address in (url, direct):
            assert "RTX 4090" in await log_in(address, KEY, "nvidia-smi")

        assert (await sdk("destroy_instance", contract))["success"] is True

        assert await sdk("show_instance", contract) is None
        again = await sdk.outcome("destroy_instance", contract)
        assert ("HTTPError", 404) == (again["error"], again["status"])
        assert "no_such_instance" in again["body"]


async def test_a_detached_key_opens_nothing(
    client: Client, wire: VastWire, market: list[Row]
) -> None:
    """It is known by its number."""
    async with client.sdk() as sdk:
        contract = await rent(sdk, market[0]["id"], ssh=True)
        await until_status(sdk, contract)
        await sdk("attach_ssh", contract, PUBLIC_KEY)
        url = await sdk("ssh_url", contract)
        await log_in(url, KEY, "echo hello")
        (number,) = await attached_ids(wire, contract)

        await sdk("detach_ssh", contract, str(number))

        await until_locked_out(url, KEY)


async def test_machines_are_rented_in_every_way(client: Client, market: list[Row]) -> None:
    """From a template, as a bid, with arguments, the best of a search, several at once."""
    asks = [row["id"] for row in market]
    async with client.sdk() as sdk:
        made = await sdk(
            *("create_template", "mine", "pytorch/pytorch"), image_tag="2.4", env="-e B=2", ssh=True
        )
        hash_id = made["template"]["hash_id"]
        from_template = await rent(sdk, asks[0], image=None, template_hash=hash_id)
        bid = await rent(sdk, asks[1], bid_price=0.25)
        entry = await rent(sdk, asks[3], args=["-c", "sleep 1"])
        launched = await sdk("launch_instance", "RTX_4090_D", "1", "ubuntu")
        assert (await sdk("create_instances", asks[5:7], image="ubuntu"))["success"] is True
        rows = {row["id"]: row for row in await sdk("show_instances")}

    assert 6 == len(rows)
    assert ("pytorch/pytorch:2.4", {"B": "2"}) == (
        rows[from_template]["image_uuid"],
        rows[from_template]["extra_env"],
    )
    assert (True, 0.25) == (rows[bid]["is_bid"], rows[bid]["dph_base"])
    assert ("args", ["-c", "sleep 1"]) == (rows[entry]["image_runtype"], rows[entry]["image_args"])
    assert "RTX 4090 D" == rows[launched["new_contract"]]["gpu_name"]


async def test_an_offer_is_rented_once(client: Client, market: list[Row]) -> None:
    """It is refused with the word by which everybody knows it, whether it may wait or not."""
    ask = market[0]["id"]
    async with client.sdk() as sdk:
        await rent(sdk, ask)
        plain = await sdk.outcome("create_instance", ask, image="ubuntu")
        strict = await sdk.outcome("create_instance", ask, image="ubuntu", cancel_unavail=True)

    assert ("HTTPError", 400) == (plain["error"], plain["status"])
    assert ("HTTPError", 410) == (strict["error"], strict["status"])
    assert all("no_such_ask" in outcome["body"] for outcome in (plain, strict))


async def test_a_lost_reply_to_a_creation_leaves_a_machine_behind(
    client: Client, wire: VastWire, market: list[Row]
) -> None:
    """The SDK asks again by itself, is refused, and never tells of what it has rented."""
    ask = market[0]["id"]
    wire.misfortunes.add(Misfortune(Word.REPLY_BAD_GATEWAY, Operation.CREATE))
    async with client.sdk() as sdk:
        refused = await sdk.outcome("create_instance", ask, image="ubuntu", label="mine")
        (row,) = await sdk("show_instances")

    assert "no_such_ask" in refused["body"]
    assert "mine" == row["label"]
    assert 2 == [call.operation for call in wire.calls].count(Operation.CREATE)


async def test_a_call_that_comes_too_often_is_repeated_until_it_is_heard(
    client: Client, wire: VastWire
) -> None:
    """The SDK waits as long as it is told; what is used up for the day it does not repeat."""
    wire.misfortunes.add(Misfortune(Word.RATE_LIMITED, Operation.USER, retry_after=0.01))
    wire.misfortunes.add(Misfortune(Word.QUOTA))
    async with client.sdk() as sdk:
        user = await sdk("show_user")
        refused = await sdk.outcome("search_offers")

    assert user["credit"] > 0
    assert (429, True) == (refused["status"], "search_quota_exceeded" in refused["body"])
    assert [Operation.USER, Operation.USER, Operation.SEARCH] == [
        call.operation for call in wire.calls
    ]


async def test_a_bid_below_the_least_makes_a_stopped_instance(
    client: Client, market: list[Row]
) -> None:
    """No success, but a number: it exists, and its disk is paid for."""
    async with client.sdk() as sdk:
        made = await sdk("create_instance", market[0]["id"], image="ubuntu", bid_price=0.01)
        assert made["success"] is False
        row = await sdk("show_instance", made["new_contract"])

    assert ("stopped", "stopped") == (row["actual_status"], row["intended_status"])


async def test_a_machine_is_labelled_stopped_started_and_restarted(
    client: Client, market: list[Row]
) -> None:
    """Each change is seen in the row."""
    async with client.sdk() as sdk:
        contract = await rent(sdk, market[0]["id"], bid_price=0.25, ssh=True)
        await until_status(sdk, contract)

        await sdk("label_instance", contract, "another name")
        await sdk("stop_instance", contract)
        stopped = await until_status(sdk, contract, "stopped")
        await sdk("start_instance", contract)
        started = await until_status(sdk, contract)
        await sdk("reboot_instance", contract)
        await until_status(sdk, contract)
        await sdk("recycle_instance", contract)
        await sdk("change_bid", contract, 0.3)
        await sdk("stop_instances", [contract])
        changed = await until_status(sdk, contract, "stopped")

    assert ("another name", "stopped") == (stopped["label"], stopped["intended_status"])
    assert "running" == started["intended_status"]
    assert 0.3 == changed["dph_base"]


async def test_a_machine_says_what_it_wrote_and_what_it_is_asked(
    client: Client, market: list[Row]
) -> None:
    """The answer is written a little later; the SDK looks again."""
    async with client.sdk() as sdk:
        contract = await rent(
            sdk, market[0]["id"], ssh=True, onstart_cmd="echo first; touch made-on-start; echo last"
        )
        await until_status(sdk, contract)

        async def is_started() -> bool:
            return "last" in await sdk("logs", contract)

        await eventually(is_started)
        assert "last" == (await sdk("logs", contract, tail="1")).strip()
        assert "first" == (await sdk("logs", contract, filter="first")).strip()
        assert "made-on-start" in await sdk("execute", contract, "ls")


async def test_all_pages_of_instances_are_told(
    open_wire: Serves, vendor: Vendor, tmp_path: Path
) -> None:
    """25 rows make a page."""
    wire = await open_wire(many_rows(30, NOW))
    contracts = [wire.add_instance(label="x" if number % 2 else None) for number in range(30)]
    async with client_of(vendor, tmp_path / "home", wire.url, wire.api_key).sdk() as sdk:
        everything = await sdk("show_instances")
        page = await sdk("show_instances_v1", {"limit": 25})
        labelled = await sdk("fetch_contracts", label="x")
        await sdk("destroy_instances", contracts[:28])
        left = await sdk("show_instances")

    assert contracts == [row["id"] for row in everything]
    assert (25, 30, {"": 15, "x": 15}) == (
        len(page["instances"]),
        page["total_instances"],
        page["label_counts"],
    )
    assert contracts[1::2] == [row["id"] for row in labelled]
    assert contracts[28:] == [row["id"] for row in left]


async def test_the_account_is_told(client: Client) -> None:
    """Money, keys, templates, volumes, and what else there is."""
    async with client.sdk() as sdk:
        user = await sdk("show_user")
        assert user["credit"] > 0
        assert "api_key" not in user
        key = (await sdk("create_ssh_key", PUBLIC_KEY))["key"]
        assert [PUBLIC_KEY] == [row["key"] for row in await sdk("show_ssh_keys")]
        await sdk("delete_ssh_key", key["id"])
        template = (await sdk("create_template", "mine", "ubuntu"))["template"]
        assert [template["id"]] == [row["id"] for row in await sdk("search_templates", "name=mine")]
        await sdk("delete_template", template["id"])
        assert [] == await sdk("search_templates", "name=mine")
        assert [] == await sdk("show_volumes")
        assert 0 == (await sdk("show_pending_price_increases"))["count"]
        assert {} == await sdk("show_env_vars")
        assert [] == (await sdk("show_invoices_v1", charges=True))["results"]


async def test_a_wrong_key_is_refused(vendor: Vendor, wire: VastWire, tmp_path: Path) -> None:
    """Every call but the search needs the right one."""
    async with client_of(vendor, tmp_path / "home", wire.url, "wrong").sdk() as sdk:
        refused = await sdk.outcome("show_instances")

    assert ("HTTPError", 401) == (refused["error"], refused["status"])
    assert "Invalid user key" in refused["body"]


async def test_the_typed_clients_work_too(
    client: Client, wire: VastWire, market: list[Row]
) -> None:
    """The synchronous and the asynchronous one: search, rent, list, destroy."""
    seen = await client.run_script(Path(__file__).with_name("vendor_typed.py"), wire.url)

    by_id = {row["id"]: row for row in market}
    for one in seen:
        assert pytest.approx(total_price(by_id[one["offer"]], 20)) == one["price"]
        assert ["typed", "ubuntu", "ssh_direc ssh_proxy", 20.0, [["A", "1"]]] == one["row"]
        assert ([one["made"]], []) == (one["listed"], one["left"])
    assert 2 == len({one["made"] for one in seen})
