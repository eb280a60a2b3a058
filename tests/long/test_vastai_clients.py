"""The vendor's own command line works on the simulated service, without knowing better.

What counts is what it prints: its exit code is 0 whatever happens.
"""

from __future__ import annotations

from pathlib import Path

import asyncssh
import pytest

from tests.long.conftest import Serves
from tests.long.vendor_market import NOW, QUERY, Row, fitting, many_rows
from tests.long.vendor_rentals import (
    KEY,
    PUBLIC_KEY,
    attached_ids,
    log_in,
    rent,
    until_gone,
    until_locked_out,
    until_running,
)
from tests.long.vendor_tools import Client, Vendor, client_of, together
from tests.vast_wire import VastWire


async def test_a_machine_is_rented_reached_and_destroyed(client: Client, market: list[Row]) -> None:
    """From the offer to a login with an attached key over the address that `ssh-url` prints."""
    flags = ("--ssh", "--direct", "--disk", 32, "--label", "mine", "--env", "-e A=1 -p 8000:8000")
    contract = await rent(client, market[0]["id"], "--image", "ubuntu:22.04", *flags)
    row = await until_running(client, contract)
    assert ("mine", "ssh_direc ssh_proxy", 32.0, "RTX 4090") == (
        row["label"],
        row["image_runtype"],
        row["disk_space"],
        row["gpu_name"],
    )
    assert {"A": "1", "-p 8000:8000": "1"} == row["extra_env"]

    attached = await client.run("attach", "ssh", contract, PUBLIC_KEY)
    assert "True" in attached.out
    ssh_url, scp_url = [
        (await client.run(f"{name}-url", contract)).words for name in ("ssh", "scp")
    ]
    assert ssh_url.removeprefix("ssh://") == scp_url.removeprefix("scp://")
    port = int(row["ports"]["22/tcp"][0]["HostPort"])
    assert f"ssh://root@{row['public_ipaddr'].strip()}:{port}" == ssh_url
    assert "RTX 4090" in await log_in(ssh_url, KEY, "nvidia-smi")

    destroyed = await client.run("destroy", "instance", contract, "-y")
    assert f"destroying instance {contract}." == destroyed.words
    await until_gone(client, contract)
    again = await client.run("destroy", "instance", contract, "-y")
    assert f"Failed with error 404: Instance {contract} not found." in again.err


@pytest.mark.parametrize(("flag", "beside"), [("--ssh", 0), ("--jupyter", 1)])
async def test_without_direct_ssh_the_address_is_the_proxy(
    client: Client, market: list[Row], flag: str, beside: int
) -> None:
    """It leads to the same machine; the port of the row is Jupyter's where there is Jupyter."""
    contract = await rent(client, market[0]["id"], "--image", "ubuntu:22.04", flag)
    row = await until_running(client, contract)
    await client.run("attach", "ssh", contract, PUBLIC_KEY)

    url = (await client.run("ssh-url", contract)).words

    assert f"ssh://root@{row['ssh_host']}:{row['ssh_port'] + beside}" == url
    assert "hello" in await log_in(url, KEY, "echo hello")


async def test_an_address_of_nothing_is_an_error(client: Client) -> None:
    """There is no such instance."""
    printed, shown = await together(client.run("ssh-url", 77), client.run("show", "instance", 77))

    assert "error: no instance found with id 77" == printed.words
    assert "Instance 77 not found or no longer exists." in shown.err


async def test_machines_are_rented_in_every_way(client: Client, market: list[Row]) -> None:
    """From a template, as a bid, with arguments, as Jupyter."""
    made = await client.run(
        *("create", "template", "--name", "mine", "--image", "pytorch/pytorch"),
        *("--image_tag", "2.4", "--env", "-e B=2", "--ssh", "--direct", "--disk_space", 40),
    )
    (template,) = await client.json("search", "templates", "name=mine")
    assert template["hash_id"] in made.out
    first, second, third, fourth = (row["id"] for row in market[:4])

    from_template = await rent(client, first, "--template_hash", template["hash_id"])
    bid = await rent(client, second, "--image", "ubuntu", "--bid_price", 0.25)
    entry = await rent(client, third, "--image", "ubuntu", "--args", "-c", "sleep 1")
    jupyter = await rent(client, fourth, "--image", "ubuntu", "--jupyter", "--direct")

    rows = {row["id"]: row for row in await client.json("show", "instances")}
    assert ("pytorch/pytorch:2.4", {"B": "2"}, "ssh_direc ssh_proxy", template["hash_id"]) == (
        rows[from_template]["image_uuid"],
        rows[from_template]["extra_env"],
        rows[from_template]["image_runtype"],
        rows[from_template]["template_hash_id"],
    )
    assert (True, 0.25) == (rows[bid]["is_bid"], rows[bid]["dph_base"])
    assert ("args", ["-c", "sleep 1"]) == (
        rows[entry]["image_runtype"],
        rows[entry]["image_args"],
    )
    assert "jupyter_direc ssh_direc ssh_proxy" == rows[jupyter]["image_runtype"]


async def test_a_rented_offer_is_gone(client: Client, market: list[Row]) -> None:
    """For the next search and for the next renter; it comes back under another number."""
    ask, machine = market[0]["id"], market[0]["machine_id"]
    contract = await rent(client, ask, "--image", "ubuntu", "--ssh")

    offers = await client.json("search", "offers", QUERY)
    assert [one for one in fitting(market) if one != ask] == [offer["id"] for offer in offers]
    refused = await client.run("create", "instance", ask, "--image", "ubuntu", "--raw")
    assert "" == refused.out
    assert "no_such_ask" in refused.refusal["msg"]

    await client.run("destroy", "instance", contract, "-y")
    (offer,) = await client.json("search", "offers", f"machine_id={machine}")
    assert ask != offer["id"]


async def test_instances_are_shown_in_every_way(client: Client, market: list[Row]) -> None:
    """A table for people, ids for scripts, rows for programs, by label and by status."""
    labels = ("one", "two", None)
    contracts = [
        await rent(client, row["id"], "--image", "ubuntu", *(("--label", label) if label else ()))
        for row, label in zip(market, labels, strict=False)
    ]
    for contract in contracts:
        await until_running(client, contract)
    show = ("show", "instances")
    (
        everything,
        only_ids,
        table,
        verbose,
        labelled,
        unlabelled,
        running,
        loading,
    ) = await together(
        client.json(*show),
        client.run(*show, "-q"),
        client.run(*show, "--full", "--no-color"),
        client.run(*show, "-v", "--full", "--no-color"),
        client.json(*show, "--label", "one", "two"),
        client.json(*show, "--label", ""),
        client.json(*show, "--status", "running"),
        client.json(*show, "--status", "loading", "--label", "one"),
    )

    assert contracts == [row["id"] for row in everything]
    assert contracts == [int(line) for line in only_ids.out.split()]
    for word in (*map(str, contracts), "one", "two", "RTX 4090", "running", "Total: 3 instances"):
        assert word in table.out
    assert "(unlabeled): 1" in table.out
    assert "Montana, US" in verbose.out
    assert contracts[:2] == [row["id"] for row in labelled]
    assert contracts[2:] == [row["id"] for row in unlabelled]
    assert contracts == [row["id"] for row in running]
    assert [] == loading


async def test_more_instances_than_fit_a_page_are_all_shown(
    open_wire: Serves, vendor: Vendor, tmp_path: Path
) -> None:
    """25 rows make a page; the tools ask for page after page, or for one."""
    wire = await open_wire(many_rows(30, NOW))
    client = client_of(vendor, tmp_path / "home", wire.url, wire.api_key)
    contracts = [wire.add_instance(label=f"label-{number}") for number in range(30)]

    everything, only_ids, table, page = await together(
        client.json("show", "instances"),
        client.run("show", "instances", "-q"),
        client.run("show", "instances", "--full", "--no-color"),
        client.json("show", "instances", "--limit", 10),
    )
    rest = await client.json("show", "instances", "--next-token", page["next_token"])

    assert contracts == [row["id"] for row in everything]
    assert contracts == [int(line) for line in only_ids.out.split()]
    assert all(str(contract) in table.out for contract in contracts)
    assert (contracts[:10], 30) == (
        [row["id"] for row in page["instances"]],
        page["total_instances"],
    )
    assert contracts[10:] == [row["id"] for row in rest["instances"]]
    assert rest["next_token"] is None


async def test_a_machine_is_labelled_stopped_started_and_restarted(
    client: Client, market: list[Row]
) -> None:
    """Each change is told, and seen in the row."""
    contract = await rent(client, market[0]["id"], "--image", "ubuntu", "--ssh")
    await until_running(client, contract)

    labelled = await client.run("label", "instance", contract, "another name")
    assert f"label for {contract} set to another name." == labelled.words
    stopped = await client.run("stop", "instance", contract)
    assert f"stopping instance {contract}." == stopped.words
    row = await client.json("show", "instance", contract)
    assert ("another name", "stopped", "stopped") == (
        row["label"],
        row["intended_status"],
        row["actual_status"],
    )
    started = await client.run("start", "instance", contract)
    assert f"starting instance {contract}." == started.words
    await until_running(client, contract)
    rebooted = await client.run("reboot", "instance", contract)
    assert f"Rebooting instance {contract}." == rebooted.words
    await until_running(client, contract)
    recycled = await client.run("recycle", "instance", contract)
    assert f"Recycling instance {contract}." == recycled.words


async def test_the_price_of_a_bid_is_changed(client: Client, market: list[Row]) -> None:
    """The row costs what is bid now."""
    contract = await rent(client, market[0]["id"], "--image", "ubuntu", "--bid_price", 0.25)

    printed = await client.run("change", "bid", contract, "--price", 0.3)

    assert "Per gpu bid price changed" == printed.words
    assert 0.3 == (await client.json("show", "instance", contract))["dph_base"]


async def test_what_a_machine_wrote_is_shown(client: Client, market: list[Row]) -> None:
    """The whole, its end, and what of it has a word."""
    contract = await rent(
        client,
        *(market[0]["id"], "--image", "ubuntu", "--ssh"),
        *("--onstart-cmd", "echo first; echo second"),
    )
    await until_running(client, contract)

    whole, end, found = await together(
        client.run("logs", contract),
        client.run("logs", contract, "--tail", 1),
        client.run("logs", contract, "--filter", "no-line-has-this"),
    )

    assert whole.out.strip()
    assert whole.out.strip().splitlines()[-1:] == end.out.strip().splitlines()
    assert "no-line-has-this" not in found.out


async def test_a_key_of_the_account_opens_machines_that_are_made_later(
    client: Client, market: list[Row]
) -> None:
    """It need not be attached."""
    await client.run("create", "ssh-key", PUBLIC_KEY)
    contract = await rent(client, market[0]["id"], "--image", "ubuntu", "--ssh", "--direct")
    await until_running(client, contract)

    url = (await client.run("ssh-url", contract)).words
    assert "hello" in await log_in(url, KEY, "echo hello")


async def test_a_detached_key_opens_nothing(
    client: Client, wire: VastWire, market: list[Row]
) -> None:
    """Others still do."""
    other = asyncssh.generate_private_key("ssh-ed25519")
    contract = await rent(client, market[0]["id"], "--image", "ubuntu", "--ssh", "--direct")
    await until_running(client, contract)
    for key in (KEY, other):
        public = key.export_public_key().decode().strip()
        await client.run("attach", "ssh", contract, public)
    url = (await client.run("ssh-url", contract)).words
    assert "hello" in await log_in(url, other, "echo hello")
    attached = await attached_ids(wire, contract)

    detached = await client.run("detach", "ssh", contract, attached[-1])

    assert "SSH key removed from instance." in detached.out
    assert "hello" in await log_in(url, KEY, "echo hello")
    await until_locked_out(url, other)


async def test_nothing_is_destroyed_without_a_yes(client: Client, market: list[Row]) -> None:
    """Whoever cannot answer the question has said no."""
    contract = await rent(client, market[0]["id"], "--image", "ubuntu")

    silent, refused = [
        await client.run("destroy", "instance", contract, typed=typed) for typed in ("", "n\n")
    ]
    assert "Aborted." in silent.out
    assert "Aborted." in refused.out
    assert contract == (await client.json("show", "instance", contract))["id"]

    agreed = await client.run("destroy", "instance", contract, typed="y\n")
    assert f"destroying instance {contract}." in agreed.out
    await until_gone(client, contract)


async def test_many_are_made_stopped_started_and_destroyed_at_once(
    client: Client, market: list[Row]
) -> None:
    """One request for all of them."""
    asks = [row["id"] for row in market[:3]]
    made = await client.run("create", "instances", *asks, "--image", "ubuntu", "--ssh")
    assert "Started." in made.out
    contracts = [row["id"] for row in await client.json("show", "instances")]
    assert 3 == len(contracts)

    stopped = await client.run("stop", "instances", *contracts)
    assert f"stopping instance {contracts}." == stopped.words
    started = await client.run("start", "instances", *contracts)
    assert f"starting instance {contracts}." == started.words
    destroyed = await client.run("destroy", "instances", "-y", *contracts)
    assert f"destroying instance {contracts}." == destroyed.words

    assert [] == await client.json("show", "instances")
