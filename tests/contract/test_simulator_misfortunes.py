"""The simulated market when things go wrong, as scripted by value and over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, make_mocked_request

from providers.base import Instance, InstanceStatus
from providers.errors import (
    BadResponse,
    InvalidRequest,
    NotFound,
    OfferGone,
    OutcomeUnknown,
    ProviderError,
    Unavailable,
)
from providers.simulator import SimulatorProvider, parse_fault
from tests.contract.conftest import Clock, a_label, a_spec, first_offer


def script(simulator: SimulatorProvider, word: str, operation: str, **fields: Any) -> None:
    """Let something go wrong."""
    simulator.faults.add(parse_fault({"fault": word, "operation": operation, **fields}))


async def rent(simulator: SimulatorProvider) -> Instance:
    """The first offer's machine."""
    return await simulator.create(a_spec(await first_offer(simulator)))


@pytest.mark.parametrize(
    ("word", "error"),
    [
        ("offer_gone", OfferGone),
        ("refused", InvalidRequest),
        ("error", Unavailable),
    ],
)
async def test_a_creation_may_fail_in_three_ways(
    simulator: SimulatorProvider, word: str, error: type[ProviderError]
) -> None:
    """Nothing is made, and the next one goes well."""
    script(simulator, word, "create")

    with pytest.raises(error):
        await rent(simulator)

    assert await simulator.list_instances() == ()
    assert (await rent(simulator)).label == a_label()


@pytest.mark.parametrize("operation", ["list", "get", "destroy"])
@pytest.mark.parametrize("word", ["refused", "error"])
async def test_any_other_call_may_fail(
    simulator: SimulatorProvider, operation: str, word: str
) -> None:
    """The machine stays as it is."""
    made = await rent(simulator)
    calls = {
        "list": simulator.list_instances,
        "get": lambda: simulator.get(made.id),
        "destroy": lambda: simulator.destroy(made.id),
    }
    script(simulator, word, operation)

    with pytest.raises(Unavailable):
        await calls[operation]()

    assert len(await simulator.list_instances()) == 1


async def test_a_partial_list_is_noticed(simulator: SimulatorProvider) -> None:
    """Of machines and of offers."""
    script(simulator, "partial", "list", times=2)

    with pytest.raises(BadResponse):
        await simulator.list_instances()
    with pytest.raises(BadResponse):
        await simulator.list_offers()
    assert await simulator.list_instances() == ()


async def test_a_late_creation_appears_after_its_delay(
    simulator: SimulatorProvider, clock: Clock
) -> None:
    """Unknown to everybody until then, but its offer is taken; it is billed from there on."""
    offer = await first_offer(simulator)
    script(simulator, "late_effect", "create", delay="10s")

    with pytest.raises(OutcomeUnknown):
        await simulator.create(a_spec(offer))

    assert await simulator.list_instances() == ()
    with pytest.raises(OfferGone):
        await simulator.create(a_spec(offer))
    clock.forward(10)
    (late,) = await simulator.list_instances()
    assert (late.label, late.status) == (a_label(), InstanceStatus.STARTING)
    assert await simulator.bill(clock.now) == 0


async def test_a_lost_destruction_was_done(simulator: SimulatorProvider) -> None:
    """Only the answer is missing."""
    made = await rent(simulator)
    script(simulator, "reply_lost", "destroy")

    with pytest.raises(Unavailable):
        await simulator.destroy(made.id)

    with pytest.raises(NotFound):
        await simulator.get(made.id)


async def test_a_late_destruction_is_accepted_and_done_later(
    simulator: SimulatorProvider, clock: Clock
) -> None:
    """The machine is ending meanwhile; the meter stops with the acceptance."""
    made = await rent(simulator)
    script(simulator, "late_effect", "destroy", delay="30s")
    clock.forward(10)
    await simulator.destroy(made.id)
    clock.forward(29)

    ending = await simulator.get(made.id)
    await simulator.destroy(made.id)

    assert ending.status is InstanceStatus.ENDING
    assert ending.ssh == ()
    clock.forward(1)
    with pytest.raises(NotFound):
        await simulator.get(made.id)
    (line,) = await simulator.statement(clock.now)
    assert line.ends_at is not None
    assert line.ends_at - line.begins_at == timedelta(seconds=10)


async def test_an_ignored_destruction_changes_nothing(
    simulator: SimulatorProvider, clock: Clock
) -> None:
    """Accepted, and the machine is there and billed all the same."""
    made = await rent(simulator)
    script(simulator, "ignored", "destroy")
    await simulator.destroy(made.id)
    clock.forward(60)

    assert (await simulator.get(made.id)).status is InstanceStatus.RUNNING
    assert await simulator.bill(clock.now) > 0
    await simulator.destroy(made.id)
    assert await simulator.list_instances() == ()


async def test_a_slow_call_takes_its_time_and_others_do_not(simulator: SimulatorProvider) -> None:
    """Only the one that was hit waits."""
    script(simulator, "slow", "list", delay="1h")
    slow = asyncio.create_task(simulator.list_instances())
    await asyncio.wait([slow], timeout=0.05)

    assert not slow.done()
    assert await simulator.list_instances() == ()

    slow.cancel()
    await asyncio.gather(slow, return_exceptions=True)


async def test_machines_take_their_misfortunes_along(
    simulator: SimulatorProvider, clock: Clock
) -> None:
    """One each; machines that were not made take none."""
    offers = (await simulator.list_offers()).offers
    script(simulator, "error", "boot", times=2)
    await simulator.create(a_spec(offers[0]))
    with pytest.raises(OfferGone):
        await simulator.create(a_spec(offers[0]))
    await simulator.create(a_spec(offers[1]))
    await simulator.create(a_spec(offers[2]))
    clock.forward(60)

    instances = await simulator.list_instances()

    assert [instance.status for instance in instances] == [
        *(InstanceStatus.FAILED, InstanceStatus.FAILED, InstanceStatus.RUNNING)
    ]


async def test_a_misfortune_of_a_session_finds_it_by_its_label(
    simulator: SimulatorProvider, clock: Clock
) -> None:
    """Also when the machine is gone; other sessions have no part in it."""
    one, two, *_ = (await simulator.list_offers()).offers
    first = await simulator.create(a_spec(one))
    second = await simulator.create(a_spec(two, a_label("bbbbbbbbbbbb")))
    script(simulator, "error", "get", session_id="sess-bbbbbbbbbbbb", offer_id=two.id)
    await simulator.destroy(second.id)

    await simulator.get(first.id)
    with pytest.raises(Unavailable):
        await simulator.get(second.id)
    with pytest.raises(NotFound):
        await simulator.get(second.id)


@pytest.fixture
async def client(
    simulator: SimulatorProvider, aiohttp_client: Any
) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    """An application with the routes of the simulated market."""
    application = web.Application()
    application.add_routes(simulator.routes())
    return await aiohttp_client(application)


async def test_misfortunes_are_scripted_over_http(
    client: TestClient[web.Request, web.Application], simulator: SimulatorProvider
) -> None:
    """Added, listed, used up, cleared."""
    added = await client.post(
        "/faults", json={"fault": "error", "operation": "list", "times": 2, "delay": "2s"}
    )
    shown = {
        "fault": "error",
        "operation": "list",
        "times": 2,
        "delay": "2s",
        "offer_id": None,
        "session_id": None,
    }
    assert added.status == 201
    assert await added.json() == {"faults": [shown], "count": 1}

    with pytest.raises(Unavailable):
        await simulator.list_offers()
    listed = await client.get("/faults")
    assert await listed.json() == {"faults": [shown | {"times": 1}], "count": 1}

    cleared = await client.delete("/faults")
    assert (cleared.status, await cleared.json()) == (200, {"faults": [], "count": 0})
    assert await simulator.list_instances() == ()


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ("{", ["body"]),
        ("[]", ["fault"]),
        ('{"fault": "slow", "operation": "dance", "colour": 1}', ["colour", "operation"]),
    ],
)
async def test_a_wrong_misfortune_is_refused_with_every_wrong_field(
    client: TestClient[web.Request, web.Application], body: str, fields: list[str]
) -> None:
    """In the shape of every other error of the API."""
    refused = await client.post("/faults", data=body)

    answer = await refused.json()
    assert refused.status == 400
    assert answer["code"] == "validation_error"
    assert [detail["field"] for detail in answer["details"]] == fields
    assert all(detail["message"] for detail in answer["details"])
    assert (await (await client.get("/faults")).json())["count"] == 0


@pytest.mark.parametrize(
    ("remote", "status"),
    [("127.0.0.1", 200), ("::1", 200), ("::ffff:127.0.0.1", 200), ("192.0.2.7", 403)],
)
async def test_only_this_computer_may_script_misfortunes(
    simulator: SimulatorProvider, remote: str, status: int
) -> None:
    """Also where the API listens to the network."""
    handlers = {route.method: route.handler for route in simulator.routes()}
    request = make_mocked_request("GET", "/faults").clone(remote=remote)

    try:
        answer = await handlers["GET"](request)
    except web.HTTPForbidden as refusal:
        answer = refusal

    assert answer.status == status
