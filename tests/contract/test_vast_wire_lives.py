"""The lives of instances at the simulated Vast.ai: phases, ends, and what all of it costs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.contract.conftest import Clock
from tests.contract.vast_customers import Customer, still_customer
from tests.vast_wire import BootTimeline, Misfortune, Operation, Word

BOOT = BootTimeline(timedelta(seconds=5), timedelta(seconds=20), timedelta(seconds=36))
MINUTE = timedelta(minutes=1)


@pytest.fixture
async def customer(tmp_path: Path, clock: Clock) -> AsyncIterator[Customer]:
    """A customer of a service that has its time from the test."""
    async with still_customer(tmp_path, clock, boot=BOOT) as somebody:
        yield somebody


async def test_a_machine_boots_in_phases(customer: Customer, clock: Clock) -> None:
    """Where it is reached and what it does is known when it runs."""
    machine = await customer.rent(env={"-p 8000:8000": "1"}, label="mine")
    seen = []
    for seconds in (0, 5, 15, 16):
        clock.forward(seconds)
        row = await customer.show(machine)
        seen.append((row["actual_status"], row["public_ipaddr"], row["gpu_util"], "ports" in row))

    assert [
        (None, None, None, False),
        ("created", None, None, False),
        ("loading", None, None, False),
        ("running", "127.0.0.1", 0.0, True),
    ] == seen
    assert {"22/tcp", "8000/tcp"} == row["ports"].keys()
    assert "success, running ubuntu_22.04/ssh" == row["status_msg"]
    assert [["-p 8000:8000", "1"]] == row["extra_env"]
    assert ("mine", "ssh_direc ssh_proxy") == (row["label"], row["image_runtype"])


@pytest.mark.parametrize(
    ("runtype", "told", "is_direct"),
    [
        ("ssh_direct", "ssh_direc ssh_proxy", True),
        ("ssh_direc ssh_proxy", "ssh_direc ssh_proxy", True),
        ("ssh_proxy", "ssh_proxy", False),
        (None, "ssh", False),
        ("args", "args", False),
    ],
)
async def test_direct_ssh_has_to_be_asked_for(
    customer: Customer, clock: Clock, runtype: str | None, told: str, is_direct: bool
) -> None:
    """Otherwise there is the proxy only."""
    machine = await customer.rent(runtype=runtype)
    clock.forward(60)

    row = await customer.show(machine)

    assert told == row["image_runtype"]
    assert is_direct is ("22/tcp" in row["ports"])


async def test_a_host_without_open_ports_has_no_direct_ssh(
    customer: Customer, clock: Clock
) -> None:
    """Although it was asked for."""
    ask = next(row for row in customer.wire.offers() if row["direct_port_count"] == 0)
    _, body = await customer.create(ask["id"])
    clock.forward(60)

    assert {} == (await customer.show(body["new_contract"]))["ports"]


@pytest.mark.parametrize(
    ("misfortune", "expected"),
    [
        (Misfortune(Word.STUCK_LOADING), ("loading", "running", "running", "Pulling")),
        (Misfortune(Word.ABANDONED), ("created", "stopped", "stopped", "")),
        (Misfortune(Word.EXITED), ("exited", "running", "running", "")),
        (Misfortune(Word.UNKNOWN), ("unknown", "running", "running", "")),
        (Misfortune(Word.OFFLINE), ("offline", "running", "running", "")),
        (Misfortune(Word.CDI_ERROR), ("created", "running", "running", "unresolvable CDI")),
        (Misfortune(Word.IMAGE_FAULT), ("created", "running", "running", "manifest unknown")),
        (
            Misfortune(Word.IMAGE_FAULT, text="pull access denied for {image}"),
            ("created", "running", "running", "denied for ubuntu"),
        ),
        (Misfortune(Word.OUTBID), ("stopped", "stopped", "stopped", "")),
    ],
    ids=lambda one: str(getattr(one, "word", "")),
)
async def test_a_boot_may_fail(
    customer: Customer, clock: Clock, misfortune: Misfortune, expected: tuple[str, ...]
) -> None:
    """Each failure with the signature that was seen of it; the next machine boots."""
    customer.wire.misfortunes.add(misfortune)
    failed, good = await customer.rent(), await customer.rent("L4")
    clock.forward(3600)

    row = await customer.show(failed)

    told = (row["actual_status"], row["cur_state"], row["intended_status"])
    assert expected[:3] == told
    assert expected[3] in (row["status_msg"] or "")
    assert "running" == (await customer.show(good))["actual_status"]


async def test_a_machine_may_be_stopped_by_a_higher_bid_and_come_back(
    customer: Customer, clock: Clock
) -> None:
    """All by itself."""
    customer.wire.misfortunes.add(Misfortune(Word.OUTBID, delay=MINUTE, until=2 * MINUTE))
    machine = await customer.rent(price=0.9)
    seen = []
    for _ in range(4):
        clock.forward(59)
        seen.append((await customer.show(machine))["actual_status"])

    assert ["running", "stopped", "stopped", "running"] == seen


async def test_what_is_destroyed_is_null_and_then_unknown(customer: Customer) -> None:
    """A second destruction is refused."""
    machine = await customer.rent()

    first = await customer.destroy(machine)
    second = await customer.destroy(machine)

    assert (200, {"success": True}) == first
    assert (404, "no_such_instance") == (second[0], second[1]["error"])
    assert await customer.show(machine) is None
    assert (200, {"instances": None}) == await customer.ask("GET", "/api/v0/instances/1/")


async def test_a_destruction_may_be_ignored_or_take_its_time(
    customer: Customer, clock: Clock
) -> None:
    """Both are accepted like a real one."""
    customer.wire.misfortunes.add(Misfortune(Word.IGNORED), Misfortune(Word.LINGERS, delay=MINUTE))
    machine = await customer.rent()

    seen = []
    for _ in range(2):
        assert (200, {"success": True}) == await customer.destroy(machine)
        clock.forward(30)
        seen.append(await customer.show(machine) is None)
    clock.forward(30)
    seen.append(await customer.show(machine) is None)

    assert [False, False, True] == seen


async def test_several_are_stopped_started_and_destroyed_with_one_call(customer: Customer) -> None:
    """By lists of ids, under two names."""
    machines = [await customer.rent(gpu) for gpu in ("L4", "A40")]
    path = "/api/v0/instances/"

    await customer.ask("PUT", path, {"state": "stopped", "ids": machines})
    stopped = {row["actual_status"] for row in customer.wire.instances()}
    await customer.ask("PUT", path, {"state": "running", "ids": machines})
    started = {row["intended_status"] for row in customer.wire.instances()}
    await customer.ask("DELETE", path, {"instance_ids": machines})

    assert ({"stopped"}, {"running"}, []) == (stopped, started, customer.wire.instances())


async def test_a_stopped_machine_waits_for_its_gpu_once_somebody_else_has_it(
    customer: Customer, clock: Clock
) -> None:
    """Its start is accepted and does not happen."""
    offer = next(row for row in customer.wire.offers() if row["gpu_frac"] == 1)
    machine = (await customer.create(offer["id"]))[1]["new_contract"]
    path = f"/api/v0/instances/{machine}/"
    await customer.ask("PUT", path, {"state": "stopped"})
    again = next(o for o in customer.wire.offers() if o["gpu_ids"] == offer["gpu_ids"])
    await customer.create(again["id"])

    status, body = await customer.ask("PUT", path, {"state": "running"})
    clock.forward(3600)
    row = await customer.show(machine)

    assert (200, False) == (status, body["success"])
    assert "queued" in body["msg"]
    assert ("stopped", "running") == (row["actual_status"], row["intended_status"])


async def test_a_queued_start_happens_later(customer: Customer, clock: Clock) -> None:
    """And costs money then."""
    machine = await customer.rent()
    clock.forward(60)
    path = f"/api/v0/instances/{machine}/"
    await customer.ask("PUT", path, {"state": "stopped"})
    customer.wire.misfortunes.add(Misfortune(Word.QUEUED, delay=MINUTE))

    _, body = await customer.ask("PUT", path, {"state": "running"})
    seen = []
    for _ in range(3):
        clock.forward(40)
        seen.append((await customer.show(machine))["actual_status"])

    assert body["success"] is False
    assert ["stopped", "running", "running"] == seen


async def test_a_label_is_changed_by_the_api_or_by_somebody(
    customer: Customer, clock: Clock
) -> None:
    """At most 1024 characters."""
    customer.wire.misfortunes.add(Misfortune(Word.RELABELLED, text="theirs", delay=MINUTE))
    machine = await customer.rent(label="mine")
    path = f"/api/v0/instances/{machine}/"

    await customer.ask("PUT", path, {"label": "x" * 1024})
    long = (await customer.show(machine))["label"]
    refused = await customer.ask("PUT", path, {"label": "x" * 1025})
    clock.forward(60)

    assert "x" * 1024 == long
    assert (400, "label_too_long") == (refused[0], refused[1]["error"])
    assert "theirs" == (await customer.show(machine))["label"]


async def test_gpu_and_disk_are_charged_by_the_second_of_their_state(
    customer: Customer, clock: Clock
) -> None:
    """The disk always, the GPU while it runs."""
    offer = next(row for row in customer.wire.offers() if row["gpu_frac"] == 1)
    credit = customer.wire.credit
    machine = (await customer.create(offer["id"]))[1]["new_contract"]
    disk = 20 * offer["storage_cost"] / 720
    spent = []
    for seconds, state in ((36, None), (3600, "stopped"), (7200, None)):
        clock.forward(seconds)
        spent.append(float(credit - customer.wire.credit))
        if state:
            await customer.ask("PUT", f"/api/v0/instances/{machine}/", {"state": state})
    await customer.destroy(machine)
    clock.forward(7200)
    spent.append(float(credit - customer.wire.credit))

    expected = [disk * 36 / 3600, disk * 1.01 + offer["dph_base"]]
    expected += [disk * 3.01 + offer["dph_base"]] * 2
    assert pytest.approx(expected, abs=1e-5) == spent
    row = await charges(customer, clock)
    assert (f"instance-{machine}", pytest.approx(expected[-1])) == (row["source"], row["amount"])


async def charges(customer: Customer, clock: Clock) -> Any:
    """The only row of the charges."""
    day = f'{{"day":{{"gte":0,"lte":{clock().timestamp()}}}}}'
    status, body = await customer.ask("GET", f"/api/v0/charges/?select_filters={day}")
    assert status == 200, body
    [row] = body["results"]
    return row


async def test_traffic_is_charged_by_the_gigabyte(customer: Customer) -> None:
    """Both ways, at the prices of the host."""
    offer = customer.wire.offers()[0]
    machine = (await customer.create(offer["id"]))[1]["new_contract"]
    before = customer.wire.credit

    customer.wire.use_network(machine, down_gb=1000, up_gb=10)

    cost = 1000 * offer["inet_down_cost"] + 10 * offer["inet_up_cost"]
    assert pytest.approx(cost, abs=1e-5) == float(before - customer.wire.credit)


async def test_when_the_credit_is_spent_everything_halts_at_that_instant(
    customer: Customer, clock: Clock
) -> None:
    """The disks go on costing, the credit sinks below nothing, and nothing starts any more."""
    offer = next(row for row in customer.wire.offers() if row["gpu_frac"] == 1)
    machine = (await customer.create(offer["id"]))[1]["new_contract"]
    clock.forward(36)
    customer.wire.credit = Decimal(str(offer["dph_base"]))

    clock.forward(36_000)
    status, user = await customer.ask("GET", "/api/v0/users/current/")
    row = await customer.show(machine)
    path = f"/api/v0/instances/{machine}/"
    refused = await customer.ask("PUT", path, {"state": "running"})

    disk = 20 * offer["storage_cost"] / 720
    assert 200 == status
    assert -10 * disk < user["credit"] < -8 * disk
    assert ("stopped", "stopped") == (row["actual_status"], row["intended_status"])
    assert (400, "missing_billing") == (refused[0], refused[1]["error"])


async def test_an_account_whose_credit_is_taken_away_halts_at_once(
    customer: Customer, clock: Clock
) -> None:
    """It need not be spent by machines."""
    machine = await customer.rent()
    clock.forward(60)

    customer.wire.credit = Decimal(0)

    assert "stopped" == (await customer.show(machine))["actual_status"]


async def test_credit_may_drain_beside_the_machines(customer: Customer, clock: Clock) -> None:
    """Somebody else spends it."""
    before = customer.wire.credit
    customer.wire.drain(Decimal("0.5"))
    clock.forward(100)

    assert Decimal(50) == before - customer.wire.credit


async def test_at_the_end_of_the_hosts_offer_a_machine_halts(
    customer: Customer, clock: Clock
) -> None:
    """A contract cannot outlive it, nor be started again."""
    customer.wire.credit = Decimal(1_000_000)
    machine = await customer.rent()
    duration = (await customer.show(machine))["duration"]

    clock.forward(duration - 1)
    before = (await customer.show(machine))["actual_status"]
    clock.forward(2)

    path = f"/api/v0/instances/{machine}/"
    refused = await customer.ask("PUT", path, {"state": "running"})

    assert "running" == before
    assert (400, "invalid_args") == (refused[0], refused[1]["error"])
    assert "stopped" == (await customer.show(machine))["actual_status"]


async def test_the_row_may_cost_more_than_the_offer_did(customer: Customer, clock: Clock) -> None:
    """And that is what is charged."""
    offer = next(row for row in customer.wire.offers() if row["gpu_frac"] == 1)
    customer.wire.misfortunes.add(Misfortune(Word.PRICE_RAISED))
    machine = (await customer.create(offer["id"]))[1]["new_contract"]
    clock.forward(36)

    row = await customer.show(machine)

    assert pytest.approx(2 * offer["dph_base"]) == row["dph_base"]
    assert pytest.approx(row["dph_base"] + row["storage_total_cost"]) == row["dph_total"]


async def test_odd_addresses_are_told_as_they_were_seen(customer: Customer, clock: Clock) -> None:
    """White space around an address, and null instead of ports."""
    customer.wire.misfortunes.add(Misfortune(Word.IP_NEWLINE), Misfortune(Word.NO_PORTS))
    machine = await customer.rent()
    clock.forward(60)

    row = await customer.show(machine)

    assert row["public_ipaddr"].endswith("\n")
    assert row["ports"] is None


async def test_a_creation_may_appear_late_and_its_answer_be_lost(
    customer: Customer, clock: Clock
) -> None:
    """Both at once: nobody knows of it before it is in the list."""
    customer.wire.misfortunes.add(
        Misfortune(Word.APPEARS_LATE, delay=MINUTE),
        Misfortune(Word.REPLY_BAD_GATEWAY, Operation.CREATE),
    )
    status, body = await customer.create(customer.wire.offers()[0]["id"], label="mine")
    before = (await customer.listed())[1]["instances"]
    clock.forward(60)

    assert (502, []) == (status, before)
    assert "nginx" in body
    assert ["mine"] == [row["label"] for row in (await customer.listed())[1]["instances"]]


async def test_an_instance_of_somebody_else_is_told_as_it_was_added(customer: Customer) -> None:
    """With any field."""
    added = customer.wire.add_instance(label="theirs", actual_status="loading", num_gpus=8)

    row = await customer.show(added)

    assert ("theirs", "loading", 8) == (row["label"], row["actual_status"], row["num_gpus"])
