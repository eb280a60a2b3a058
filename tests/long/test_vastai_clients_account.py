"""The vendor's own command line shows and changes an account on the simulated service."""

from __future__ import annotations

from pathlib import Path

from tests.long.vendor_market import Row
from tests.long.vendor_rentals import PUBLIC_KEY, rent, until_running
from tests.long.vendor_tools import Client, Vendor, client_of, together
from tests.vast_wire import VastWire


async def test_a_first_command_asks_for_gpus_and_for_its_role(
    client: Client, wire: VastWire
) -> None:
    """The names of the GPUs are asked for without a key, who one is with it; then the command."""
    user = await client.json("show", "user")

    asked = [(call.method, call.path) for call in wire.calls]
    assert [("GET", "/api/v0/gpu_names/unique/"), ("GET", "/api/v0/users/current")] == asked[:2]
    assert user["credit"] > 0
    assert "api_key" not in user


async def test_a_wrong_key_is_told(vendor: Vendor, wire: VastWire, tmp_path: Path) -> None:
    """The offers can be searched all the same."""
    client = client_of(vendor, tmp_path / "home", wire.url, "wrong")

    user, raw = await together(client.run("show", "user"), client.run("show", "instances", "--raw"))

    assert "Failed with error 401: Invalid user key" in user.err
    assert {"status_code": 401, "msg": "Invalid user key"} == raw.refusal
    assert "wrong" not in user.err


async def test_keys_of_the_account_are_added_shown_and_removed(client: Client) -> None:
    """As long as there are none, the service says 404."""
    none = await client.run("show", "ssh-keys", "--raw")
    assert 404 == none.refusal["status_code"]

    added = await client.run("create", "ssh-key", PUBLIC_KEY)
    (key,) = await client.json("show", "ssh-keys")
    assert PUBLIC_KEY == key["key"]
    assert str(key["id"]) in added.out
    assert "True" in (await client.run("delete", "ssh-key", key["id"])).out
    assert 404 == (await client.run("show", "ssh-keys", "--raw")).refusal["status_code"]


async def test_templates_are_made_found_changed_and_removed(client: Client) -> None:
    """The hash changes with the content."""
    flags = ("--name", "mine", "--ssh", "--direct", "--search_params", "num_gpus>=2")
    made = await client.run("create", "template", *flags, "--image", "ubuntu")
    (template,) = await client.json("search", "templates", "name=mine")
    assert f"'hash_id': '{template['hash_id']}'" in made.words

    changed = await client.run(
        "update", "template", template["hash_id"], *flags, "--image", "debian"
    )
    assert "updated template:" in changed.out
    (newer,) = await client.json("search", "templates", "name=mine image=debian")
    assert (template["id"], True) == (newer["id"], newer["hash_id"] != template["hash_id"])

    await client.run("delete", "template", "--hash-id", newer["hash_id"])
    assert [] == await client.json("search", "templates", "name=mine")


async def test_the_account_is_shown(client: Client) -> None:
    """What it has: money, and no volumes."""
    table, volumes, raw = await together(
        client.run("show", "user"), client.run("show", "volumes"), client.json("show", "volumes")
    )

    assert "Credit" in table.out
    assert "mach_id" in volumes.out
    assert [] == raw


async def test_money_spent_is_shown(client: Client, market: list[Row]) -> None:
    """By instance."""
    contract = await rent(client, market[0]["id"], "--image", "ubuntu")
    await until_running(client, contract)

    show = ("show", "invoices-v1", "--charges")
    table, raw = await together(
        client.run(*show, "--full", "--no-color"), client.json(*show, "--limit", 5)
    )

    assert str(contract) in table.out
    assert "Showing 1 of 1 results" in table.out
    (spent,) = raw["results"]
    assert f"instance-{contract}" == spent["source"]


async def test_a_raised_price_is_shown_and_accepted(client: Client, wire: VastWire) -> None:
    """Once."""
    contract = wire.add_instance()
    wire.extras.price_increases.append(
        {
            "pending_price_increase_id": 9,
            "contract_id": contract,
            "host_id": 3,
            "old_gpu_costpersec": 0.36 / 3600,
            "new_gpu_costpersec": 0.72 / 3600,
        }
    )

    table = await client.run("show", "pending-price-increases")
    accepted = await client.run("accept", "price-increase", contract, "--yes")

    assert "0.3600_->_0.7200" in table.words.replace(" ", "_")
    assert str(contract) in accepted.out
    assert [] == wire.extras.price_increases
