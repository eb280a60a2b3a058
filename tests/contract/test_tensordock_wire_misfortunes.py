"""What goes wrong with the calls of the simulated TensorDock, and what a broker may not do then."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import aiohttp
import pytest

from tests.contract.conftest import Clock
from tests.contract.tensordock_customers import Customer, customer_of
from tests.tensordock_wire import Misfortune, Operation, Word, assert_sound

NAME = "gpub-depl-aaaaaaaaaaaa-1"


@pytest.fixture
async def customer(tmp_path: Path, clock: Clock) -> AsyncIterator[Customer]:
    """A customer of a service that has its time from the test, and no machines."""
    async with customer_of(tmp_path, clock, ssh=False) as somebody:
        yield somebody


async def test_a_creation_can_succeed_without_an_answer(customer: Customer, clock: Clock) -> None:
    """And appear in the list only later."""
    late = Misfortune(Word.APPEARS_LATE, delay=timedelta(seconds=90))
    customer.wire.misfortunes.add(Misfortune(Word.REPLY_RESET, Operation.CREATE), late)
    with pytest.raises(aiohttp.ClientError):
        await customer.create()
    before = await customer.listed()
    clock.forward(91)

    assert {"data": []} == before
    assert [NAME] == [one["name"] for one in (await customer.listed())["data"]]
    assert [None, 200, 200] == [call.status for call in customer.wire.calls]


@pytest.mark.parametrize(
    ("misfortune", "status", "beginning"),
    [
        (Misfortune(Word.ERROR), 500, '{"error": "Internal'),
        (Misfortune(Word.HTML), 502, "<html>"),
        (Misfortune(Word.BAD_TOKEN), 401, '{"error": "Invalid'),
        (Misfortune(Word.NOT_ALLOWED), 403, '{"error"'),
        (Misfortune(Word.RATE_LIMITED, retry_after=7), 429, '{"error": "Rate limit'),
        (Misfortune(Word.TRUNCATED), 200, '{"dat'),
    ],
)
async def test_any_call_can_be_answered_wrongly(
    customer: Customer, misfortune: Misfortune, status: int, beginning: str
) -> None:
    """Once."""
    customer.wire.add_instance()
    customer.wire.misfortunes.add(misfortune)
    headers = {"Authorization": f"Bearer {customer.wire.api_token}"}
    async with customer.http.get(customer.wire.url + "/instances", headers=headers) as response:
        text = await response.text()

    assert (status, beginning) == (response.status, text[: len(beginning)])
    assert misfortune.retry_after in (None, float(response.headers.get("Retry-After", 0)))
    assert 200 == (await customer.ask("GET", "/instances"))[0]


@pytest.mark.parametrize(
    ("word", "names"),
    [
        (Word.PARTIAL_LIST, ["one"]),
        (Word.EMPTY_LIST, []),
        (Word.DUPLICATE_ROWS, ["one", "one", "two", "two"]),
    ],
)
async def test_the_list_can_lie(customer: Customer, word: str, names: list[str]) -> None:
    """Once."""
    customer.wire.add_instance("one")
    customer.wire.add_instance("two")
    customer.wire.misfortunes.add(Misfortune(word))

    assert names == [one["name"] for one in (await customer.listed())["data"]]
    assert 2 == len((await customer.listed())["data"])


async def test_a_deletion_can_be_accepted_and_forgotten(customer: Customer) -> None:
    """The machine is there as before."""
    machine = await customer.rent()
    customer.wire.misfortunes.add(Misfortune(Word.IGNORED))

    assert 200 == await customer.delete(machine)
    assert "running" == (await customer.show(machine))["status"]


async def test_more_than_a_hundred_calls_a_minute_are_too_many(
    tmp_path: Path, clock: Clock
) -> None:
    """And are remembered."""
    async with customer_of(tmp_path, clock, ssh=False, limits=True) as customer:
        answers = [(await customer.ask("GET", "/locations"))[0] for _ in range(101)]

        assert ([200] * 100, 429) == (answers[:-1], answers[-1])
        with pytest.raises(AssertionError, match="too many"):
            assert_sound(customer.wire)


async def test_a_broker_that_cleans_up_after_itself_is_sound(customer: Customer) -> None:
    """Whatever others have in the same organization."""
    customer.wire.add_instance("my own box")
    machine = await customer.rent()
    await customer.delete(machine)

    assert_sound(customer.wire, most_billed=Decimal())


async def test_a_machine_left_behind_is_a_breach(customer: Customer) -> None:
    """Of ours, not of others."""
    await customer.rent()

    with pytest.raises(AssertionError, match=f"left behind: {NAME}"):
        assert_sound(customer.wire)


async def test_touching_the_machines_of_others_is_a_breach(customer: Customer) -> None:
    """Also where the deletion did nothing."""
    customer.wire.misfortunes.add(Misfortune(Word.IGNORED))
    await customer.delete(customer.wire.add_instance("my own box"))

    with pytest.raises(AssertionError, match="somebody else's"):
        assert_sound(customer.wire)


async def test_creating_again_without_a_look_is_a_breach(customer: Customer) -> None:
    """Unless the first one was refused for its body, or the list was read in between."""
    resources = {"vcpu_count": 7}
    assert 400 == (await customer.create(resources=resources))[0]
    customer.wire.misfortunes.add(
        Misfortune(Word.REPLY_BAD_GATEWAY, Operation.CREATE),
        Misfortune(Word.NO_NODES, times=2, skip=1),
    )
    await customer.delete(await _made_unseen(customer))
    await customer.create()
    assert_sound(customer.wire)
    await customer.create()

    with pytest.raises(AssertionError, match="without a look"):
        assert_sound(customer.wire)


async def _made_unseen(customer: Customer) -> str:
    """The id of a machine whose creation was answered by a proxy."""
    assert 502 == (await customer.create())[0]
    return str((await customer.listed())["data"][0]["id"])


async def test_what_costs_more_than_was_estimated_is_a_breach(
    customer: Customer, clock: Clock
) -> None:
    """By what the service has billed."""
    machine = await customer.rent()
    clock.forward(3600)
    await customer.delete(machine)

    assert_sound(customer.wire, most_billed=Decimal("0.48"))
    with pytest.raises(AssertionError, match="billed"):
        assert_sound(customer.wire, most_billed=Decimal("0.46"))
