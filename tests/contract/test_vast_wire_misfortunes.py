"""What can go wrong with a call to the simulated Vast.ai: before, instead of and after it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.contract.conftest import Clock
from tests.contract.vast_customers import PLAIN, Customer, still_customer
from tests.vast_wire import TOO_FREQUENT, Call, Misfortune, Operation, Word
from tests.vast_wire.limits import INTERVALS, Limiter
from tests.waiting import eventually

HOUR = timedelta(hours=1)


@pytest.fixture
async def customer(tmp_path: Path, clock: Clock) -> AsyncIterator[Customer]:
    """A customer of a service that has its time from the test."""
    async with still_customer(tmp_path, clock) as somebody:
        yield somebody


async def answer(customer: Customer, misfortune: Misfortune) -> tuple[int, str, str, str | None]:
    """Status, type, text and pause of the answer to the list."""
    customer.wire.misfortunes.add(misfortune)
    headers = {"Authorization": f"Bearer {customer.wire.api_key}"}
    url = customer.wire.url + "/api/v1/instances/"
    async with aiohttp.request("GET", url, headers=headers) as response:
        kind = response.headers["Content-Type"]
        return response.status, kind, await response.text(), response.headers.get("Retry-After")


LIST = Operation.LIST


@pytest.mark.parametrize(
    ("misfortune", "status", "kind", "text"),
    [
        (Misfortune(Word.ERROR), 500, "application/json", "server_error"),
        (Misfortune(Word.ERROR, LIST, status=503), 503, "application/json", "server_error"),
        (Misfortune(Word.HTML), 502, "text/html; charset=utf-8", "<h1>502 Bad Gateway"),
        (Misfortune(Word.QUOTA, LIST), 429, "application/json", "search_quota_exceeded"),
        (Misfortune(Word.BAD_KEY), 401, "application/json", "Invalid user key"),
        (Misfortune(Word.BAD_KEY, status=404), 404, "application/json", "Invalid user key"),
        (Misfortune(Word.NOT_ALLOWED), 403, "application/json", "not_authorized"),
        (Misfortune(Word.DEPRECATED), 410, "application/json", "deprecated_endpoint"),
        (Misfortune(Word.ANSWER, text="[]"), 200, "application/json", "[]"),
        (Misfortune(Word.ANSWER, text="so", status=418), 418, "text/plain", "so"),
        (Misfortune(Word.REPLY_BAD_GATEWAY), 502, "text/html; charset=utf-8", "nginx"),
        (Misfortune(Word.TRUNCATED), 200, "application/json", '{"success": true'),
        (Misfortune(Word.CHARSET), 200, "application/json; charset=utf-8", '"instances"'),
        (Misfortune(Word.SLOW), 200, "application/json", '"instances"'),
        (Misfortune(Word.RATE_LIMITED), 429, "text/plain", "too frequent"),
    ],
    ids=lambda one: str(getattr(one, "word", "")),
)
async def test_a_call_may_be_answered_wrongly_once(
    customer: Customer, misfortune: Misfortune, status: int, kind: str, text: str
) -> None:
    """The next one is answered as usual."""
    told = await answer(customer, misfortune)

    assert (status, kind, None) == (told[0], told[1], told[3])
    assert text in told[2]
    assert 200 == (await customer.listed())[0]


@pytest.mark.parametrize("text", TOO_FREQUENT)
async def test_too_many_calls_are_told_in_several_ways(customer: Customer, text: str) -> None:
    """With and without the seconds to wait."""
    told = await answer(customer, Misfortune(Word.RATE_LIMITED, text=text, retry_after=2))

    assert (429, text, "2") == (told[0], told[2], told[3])
    if text.startswith("{"):
        assert "application/json" == told[1]
        assert json.loads(text)


async def test_half_an_answer_is_no_json(customer: Customer) -> None:
    """It breaks off."""
    told = await answer(customer, Misfortune(Word.TRUNCATED))

    with pytest.raises(ValueError, match=r"."):
        json.loads(told[2])


async def test_an_answer_may_be_of_50_megabytes(customer: Customer) -> None:
    """It is JSON all the same."""
    told = await answer(customer, Misfortune(Word.HUGE))

    assert 50_000_000 < len(told[2])


@pytest.mark.parametrize("word", [Word.RESET, Word.REPLY_RESET])
async def test_a_lost_connection_has_had_its_effect_or_not(customer: Customer, word: str) -> None:
    """The client cannot tell which."""
    customer.wire.misfortunes.add(Misfortune(word, Operation.CREATE))

    with pytest.raises(aiohttp.ClientError):
        await once(customer)

    assert int(word is Word.REPLY_RESET) == len(customer.wire.instances())
    assert 1 == len(creations(customer))


async def once(customer: Customer) -> None:
    """One creation by POST: a PUT would be repeated by the client, unseen."""
    ask = customer.wire.offers()[0]["id"]
    await customer.ask("POST", "/api/v0/asks/bulk/", {**PLAIN, "ids": [ask]})


def creations(customer: Customer) -> list[Call]:
    """The create calls that the service has seen."""
    return [call for call in customer.wire.calls if call.operation is Operation.CREATE]


@pytest.mark.parametrize("word", [Word.HANGS, Word.REPLY_HANGS])
async def test_an_answer_may_never_come(customer: Customer, word: str) -> None:
    """The service lets nobody wait any more when it closes."""
    customer.wire.misfortunes.add(Misfortune(word, Operation.CREATE))
    waiting = asyncio.create_task(once(customer))
    await eventually(lambda: _truth(creations(customer)))

    assert int(word is Word.REPLY_HANGS) == len(customer.wire.instances())
    assert not waiting.done()
    waiting.cancel()


async def _truth(what: Any) -> bool:
    return bool(what)


async def test_a_misfortune_is_for_its_own_kind_of_call(customer: Customer) -> None:
    """As often as it was planned, after those that go well."""
    customer.wire.misfortunes.add(Misfortune(Word.ERROR, Operation.DESTROY, times=2, skip=1))
    machines = [await customer.rent(gpu) for gpu in ("L4", "A40")]

    statuses = [(await customer.destroy(machine))[0] for machine in machines]
    statuses += [(await customer.destroy(machines[1]))[0] for _ in range(2)]

    assert [200, 500, 500, 200] == statuses
    assert 200 == (await customer.listed())[0]


async def test_planned_misfortunes_can_be_called_off(customer: Customer) -> None:
    """All of them."""
    customer.wire.misfortunes.add(Misfortune(Word.ERROR, times=100))
    customer.wire.misfortunes.clear()

    assert 200 == (await customer.listed())[0]


async def test_a_living_machine_may_be_told_to_be_gone_once(customer: Customer) -> None:
    """Null is no proof then."""
    machine = await customer.rent()
    customer.wire.misfortunes.add(Misfortune(Word.NULL_INSTANCE))

    assert [True, False] == [await customer.show(machine) is None for _ in range(2)]


@pytest.mark.parametrize(
    ("word", "error"),
    [(Word.NO_CREDIT, "insufficient_credit"), (Word.SPEND_LIMIT, "spend_rate_limit")],
)
async def test_money_may_be_refused_to_a_rich_account(
    customer: Customer, word: str, error: str
) -> None:
    """With 400, and nothing is rented."""
    customer.wire.misfortunes.add(Misfortune(word))

    status, body = await customer.create(customer.wire.offers()[0]["id"])

    assert (400, error, []) == (status, body["error"], customer.wire.instances())


async def test_every_call_is_noted(customer: Customer, clock: Clock) -> None:
    """With what was sent."""
    await customer.search(limit=1)
    await customer.listed("?limit=3")

    assert [
        Call("POST", "/api/v0/bundles/", {}, {"limit": 1}, clock(), Operation.SEARCH),
        Call("GET", "/api/v1/instances/", {"limit": "3"}, None, clock(), LIST),
    ] == customer.wire.calls


async def test_calls_that_come_too_early_are_refused_and_counted(
    tmp_path: Path, clock: Clock
) -> None:
    """Each kind of call has an interval of its own; a searcher without a key is free."""
    async with still_customer(tmp_path, clock, limits=True) as customer:
        statuses = [(await customer.listed())[0] for _ in range(2)]
        other = await customer.ask("GET", "/api/v0/instances/1/")
        status, text = await customer.listed()

        assert [200, 429, 200] == [*statuses, other[0]]
        assert (429, "API requests too frequent: endpoint threshold=1.0") == (status, text)
        assert [LIST, LIST] == [one.operation for one in customer.wire.violations]


def test_an_interval_is_between_two_calls_of_one_key() -> None:
    """A creation that comes too early has to wait for longer."""
    limiter = Limiter(1.0)

    def admitted(seconds: float, operation: Operation, key: str = "mine") -> bool:
        return limiter.admit(operation, key, seconds) is None

    interval = INTERVALS[Operation.DESTROY]
    assert admitted(0, Operation.DESTROY)
    assert admitted(0, Operation.DESTROY, "another")
    assert not admitted(interval - 0.1, Operation.DESTROY)
    assert admitted(interval, Operation.DESTROY)
    assert admitted(0, Operation.CREATE)
    assert not admitted(4, Operation.CREATE)
    assert not admitted(5, Operation.CREATE)
    assert admitted(17, Operation.CREATE)
    assert pytest.approx([0.1, 0.5, 11.0]) == [one.early_by for one in limiter.violations]
    assert Limiter(0.0).admit(Operation.CREATE, "mine", 0) is None


async def test_a_path_that_is_not_there_is_not_found(customer: Customer) -> None:
    """With a body like any other refusal."""
    status, body = await customer.ask("GET", "/api/v9/instances/")

    assert (404, "not_found") == (status, body["error"])
