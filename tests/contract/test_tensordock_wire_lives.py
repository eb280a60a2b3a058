"""What the simulated TensorDock tells of a machine from its making to its end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.contract.conftest import Clock
from tests.contract.tensordock_customers import Customer, customer_of
from tests.tensordock_wire import Case, ListShape, Misfortune, NoAddress, Timeline, Word

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def customer(tmp_path: Path, clock: Clock) -> AsyncIterator[Customer]:
    """A customer of a service that has its time from the test, and no machines."""
    async with customer_of(tmp_path, clock, ssh=False) as somebody:
        yield somebody


async def test_a_machine_is_running_before_it_has_an_address(
    customer: Customer, clock: Clock
) -> None:
    """Status, address and ports come without anything around them."""
    machine = await customer.rent()
    before = await customer.show(machine)
    clock.forward(60)
    after = await customer.show(machine)

    assert ("running", "", []) == (before["status"], before["ipAddress"], before["portForwards"])
    assert ("running", "127.0.0.1") == (after["status"], after["ipAddress"])
    assert [{"internal_port": 22, "external_port": 20_009}] == after["portForwards"]


@pytest.mark.parametrize(
    ("shape", "told"), [(NoAddress.EMPTY, ""), (NoAddress.NULL, None), (NoAddress.MISSING, "none")]
)
async def test_no_address_is_told_in_several_ways(
    customer: Customer, shape: NoAddress, told: str | None
) -> None:
    """Whichever the test has chosen."""
    customer.wire.shapes.no_address = shape
    machine = await customer.rent()

    assert told == (await customer.show(machine)).get("ipAddress", "none")


@pytest.mark.parametrize("has_attributes", [False, True])
@pytest.mark.parametrize("shape", list(ListShape))
async def test_the_list_has_three_shapes(
    customer: Customer, shape: ListShape, has_attributes: bool
) -> None:
    """With the fields of an item in it, or in its attributes."""
    customer.wire.shapes.list_shape = shape
    customer.wire.shapes.has_attributes = has_attributes
    machine = await customer.rent()

    data = (await customer.listed())["data"]
    ways: dict[ListShape, Any] = {
        ListShape.PLAIN: lambda: data,
        ListShape.NAMED: lambda: data["instances"],
        ListShape.TYPED: lambda: data["attributes"]["instances"],
    }
    (item,) = ways[shape]()
    fields = item["attributes"] if has_attributes else item
    assert (machine, "gpub-depl-aaaaaaaaaaaa-1") == (item["id"], fields["name"])


@pytest.mark.parametrize(
    ("case", "word"),
    [
        (Case.LOWER, "stoppeddisassociated"),
        (Case.TITLE, "Stoppeddisassociated"),
        (Case.UPPER, "STOPPEDDISASSOCIATED"),
        (Case.CAMEL, "StoppedDisassociated"),
        (Case.SNAKE, "stopped_disassociated"),
    ],
)
async def test_a_status_is_written_in_several_ways(
    customer: Customer, clock: Clock, case: Case, word: str
) -> None:
    """Here that of a machine whose GPUs the host has taken back."""
    customer.wire.shapes.case = case
    customer.wire.misfortunes.add(Misfortune(Word.RECLAIMED, delay=MINUTE))
    machine = await customer.rent()
    clock.forward(61)

    assert word == (await customer.show(machine))["status"]
    assert 400 == (await customer.ask("POST", f"/instances/{machine}/start", {}))[0]


@pytest.mark.parametrize(
    ("misfortune", "field", "told"),
    [
        (Misfortune(Word.STOPPED, delay=MINUTE), "status", "stopped"),
        (Misfortune(Word.FAILED, delay=MINUTE), "status", "error"),
        (Misfortune(Word.FAILED, text="hibernated"), "status", "hibernated"),
        (Misfortune(Word.STUCK_CREATING), "status", "creating"),
        (Misfortune(Word.ADDRESS_LATE), "ipAddress", ""),
        (Misfortune(Word.FORWARDS_IGNORED), "portForwards", []),
        (
            Misfortune(Word.PORTS_REMAPPED),
            *("portForwards", [{"internal_port": 22, "external_port": 21_009}]),
        ),
        (Misfortune(Word.PRICE_RAISED), "rateHourly", 0.940032),
    ],
)
async def test_a_new_machine_can_come_out_wrong(
    customer: Customer, clock: Clock, misfortune: Misfortune, field: str, told: Any
) -> None:
    """Each in its own way, for as long as it lasts."""
    customer.wire.misfortunes.add(misfortune)
    machine = await customer.rent()
    clock.forward(3600)

    assert told == (await customer.show(machine))[field]


async def test_a_machine_can_be_unreachable_for_a_while(customer: Customer, clock: Clock) -> None:
    """Nothing of it answers from `delay` on, and then it does again."""
    customer.wire.misfortunes.add(Misfortune(Word.UNREACHABLE, delay=MINUTE, until=MINUTE))
    made_at = clock.now
    machine = customer.wire.machine(await customer.rent())
    lost_at, back_at = made_at + MINUTE, made_at + 2 * MINUTE

    assert (machine.ssh_at, lost_at) == machine.up_span(made_at)
    assert (back_at, None) == machine.up_span(lost_at)
    assert (back_at, None) == machine.up_span(back_at + MINUTE)


async def test_a_misfortune_can_be_bound_to_a_place(customer: Customer, clock: Clock) -> None:
    """Machines elsewhere do not have it."""
    elsewhere = Misfortune(Word.STOPPED, place="elsewhere", times=9)
    customer.wire.misfortunes.add(elsewhere)
    machine = await customer.rent()
    clock.forward(60)

    assert "running" == (await customer.show(machine))["status"]


async def test_a_deleted_machine_is_deleting_and_then_gone(tmp_path: Path, clock: Clock) -> None:
    """It is not billed any more from the acceptance on, and asking again is no mistake."""
    timeline = Timeline(deletion=MINUTE)
    async with customer_of(tmp_path, clock, ssh=False, timeline=timeline) as customer:
        machine = await customer.rent()
        clock.forward(3600)
        answers = [await customer.delete(machine), await customer.delete(machine)]
        between = (await customer.show(machine))["status"]
        clock.forward(3600)

        assert ([200, 200], "deleting") == (answers, between)
        assert (None, 404) == (await customer.show(machine), await customer.delete(machine))
        assert {"data": []} == await customer.listed()
        assert Decimal("0.470016") == round(customer.wire.billed, 6)

        customer.wire.shapes.has_gone_in_list = True
        assert ["deleted"] == [one["status"] for one in (await customer.listed())["data"]]


async def test_a_stopped_machine_costs_all_and_a_reclaimed_one_its_disk(
    customer: Customer, clock: Clock
) -> None:
    """0.4700 $/h against 100 GB for 0.00005 each."""
    customer.wire.misfortunes.add(Misfortune(Word.STOPPED), Misfortune(Word.RECLAIMED))
    stopped = await customer.rent()
    reclaimed = await customer.rent(name="gpub-depl-bbbbbbbbbbbb-1")
    clock.forward(3600)

    assert 100 - Decimal("0.475016") == round(customer.wire.balance, 6)
    assert ["0.470016", "0.005000"] == [
        str(round(customer.wire.machine(one).billed, 6)) for one in (stopped, reclaimed)
    ]


async def test_at_one_dollar_all_stops_and_below_nothing_all_is_deleted(
    customer: Customer, clock: Clock
) -> None:
    """And nothing can be made."""
    machine = await customer.rent()
    customer.wire.balance = Decimal("1.1")
    clock.forward(3600)
    status = (await customer.show(machine))["status"]
    refused = await customer.create(name="second")
    clock.forward(3 * 3600)

    assert ("stopped", 400) == (status, refused[1]["status"])
    assert "balance" in refused[1]["error"]
    assert [] == customer.wire.instances()


async def test_the_old_api_tells_the_balance(customer: Customer) -> None:
    """To whoever has both secrets."""
    await customer.rent()

    told = {"success": True, "balance": 100.0, "hourly_cost": 0.470016}
    assert told == await customer.balance()
    assert (await customer.balance("wrong"))["success"] is False


async def test_a_stopped_machine_starts_again_and_a_running_one_does_not(
    customer: Customer,
) -> None:
    """409 for that."""
    machine = await customer.rent()
    _, stopping = await customer.ask("POST", f"/instances/{machine}/stop", {})
    stopped = (await customer.show(machine))["status"]
    starts = [(await customer.ask("POST", f"/instances/{machine}/start", {}))[0] for _ in "ab"]

    assert ("stopping", "stopped") == (stopping["data"]["attributes"]["status"], stopped)
    assert [200, 409] == starts
