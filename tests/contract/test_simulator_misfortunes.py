"""The simulated market when things go wrong, its bill, and what is special to it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, make_mocked_request

from providers.base import Endpoint, Instance, InstanceStatus
from providers.errors import (
    BadResponse,
    InvalidRequest,
    NotFound,
    OfferGone,
    OutcomeUnknown,
    ProviderError,
    Unavailable,
)
from providers.simulator import SimulatorOptions, SimulatorProvider, open_simulator, parse_fault
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


async def test_the_bill_is_the_sum_of_all_machines_ever_rented(
    simulator: SimulatorProvider, clock: Clock
) -> None:
    """By the second, with the disk that was asked for, gone or not."""
    one, two, *_ = (await simulator.list_offers()).offers
    first = await simulator.create(a_spec(one, disk_gb=100))
    clock.forward(600)
    await simulator.destroy(first.id)
    await simulator.create(a_spec(two))
    clock.forward(1800)

    hours = Decimal(600) / 3600, Decimal(1800) / 3600
    expected = one.price_with_disk(100) * hours[0] + two.price_per_hour * hours[1]

    assert abs(await simulator.bill(clock.now) - expected) < Decimal("1e-12")
    lines = await simulator.statement(clock.now)
    assert [line.price_per_hour for line in lines] == [
        *(one.price_with_disk(100), two.price_per_hour)
    ]


async def test_the_account_survives_a_restart(
    simulator: SimulatorProvider, clock: Clock, tmp_path: Path
) -> None:
    """Nothing is kept in the process; whoever opens the folder sees the same."""
    made = await rent(simulator)
    clock.forward(60)
    options = SimulatorOptions(tmp_path / "data", drift=timedelta(), ssh=False)

    other = await open_simulator(options, clock)

    assert await other.get(made.id) == await simulator.get(made.id)
    assert await other.bill(clock.now) == await simulator.bill(clock.now)
    assert (await other.list_offers()).offers == (await simulator.list_offers()).offers
    await other.destroy(made.id)
    assert await simulator.list_instances() == ()
    await other.close()


async def test_two_hundred_machines_can_be_rented_at_once(simulator: SimulatorProvider) -> None:
    """Any two hundred."""
    offers = (await simulator.list_offers()).offers[100:300]

    await asyncio.gather(
        *(simulator.create(a_spec(o, f"machine {n}")) for n, o in enumerate(offers))
    )

    assert len(await simulator.list_instances()) == 200
    assert len((await simulator.list_offers()).offers) == 200


async def test_an_offer_that_the_market_never_had_is_gone(simulator: SimulatorProvider) -> None:
    """Its price is the market's, not the caller's."""
    offer = await first_offer(simulator)

    with pytest.raises(OfferGone):
        await simulator.create(a_spec(replace(offer, provider_id="77")))
    made = await simulator.create(a_spec(replace(offer, price_per_hour=Decimal(0))))

    assert made.price_per_hour == offer.price_per_hour


async def test_a_template_brings_its_image(simulator: SimulatorProvider, clock: Clock) -> None:
    """An unknown one is refused."""
    one, two, *_ = (await simulator.list_offers()).offers
    template = next(t for t in await simulator.list_templates() if t.name == "Ollama")

    made = await simulator.create(a_spec(one, template_hash_id=template.hash_id))
    clock.forward(60)

    assert f"{template.image}:{template.tag}" in (await simulator.get(made.id)).detail
    assert json.loads(template.extra_filters or "")
    with pytest.raises(InvalidRequest):
        await simulator.create(a_spec(two, template_hash_id="0" * 32))


async def test_without_ssh_nothing_runs(simulator: SimulatorProvider, clock: Clock) -> None:
    """Machines name an address at which nobody answers."""
    await rent(simulator)
    clock.forward(60)

    (instance,) = await simulator.list_instances()

    assert instance.ssh == (Endpoint("127.0.0.1", 9),)


async def test_a_recorded_market_can_be_rented_from(tmp_path: Path, clock: Clock) -> None:
    """Renting one row takes the other rows of its machine away."""
    recording = tmp_path / "market.json"
    row = {"gpu_name": "RTX 4090", "gpu_ram": 24564, "dph_base": 0.3, "disk_space": 900}
    rows = [row | {"id": n, "num_gpus": n, "machine_id": n // 3} for n in (1, 2, 3)]
    recording.write_text(json.dumps({"offers": rows}))
    options = SimulatorOptions(tmp_path / "data", market_file=recording, ssh=False)
    simulator = await open_simulator(options, clock)

    await rent(simulator)

    assert [offer.id for offer in (await simulator.list_offers()).offers] == ["simulator-3"]
    await simulator.close()


@pytest.mark.parametrize("text", [None, "", "{", '{"offers": 1}', '[] and "chatter"'])
async def test_a_file_that_is_no_market_is_refused(
    tmp_path: Path, clock: Clock, text: str | None
) -> None:
    """By its name, before anything is opened."""
    recording = tmp_path / "market.json"
    if text is not None:
        recording.write_text(text)

    with pytest.raises(BadResponse, match=r"market\.json"):
        await open_simulator(SimulatorOptions(tmp_path / "data", market_file=recording), clock)

    assert not (tmp_path / "data").exists()


async def test_a_damaged_account_is_told_as_a_provider_that_cannot_be_used(
    tmp_path: Path, clock: Clock
) -> None:
    """At the opening, and later."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "simulator.db").write_text("this is no database " * 100)

    with pytest.raises(Unavailable):
        await open_simulator(SimulatorOptions(tmp_path / "data"), clock)


async def test_a_broken_account_is_no_empty_account(
    simulator: SimulatorProvider, tmp_path: Path
) -> None:
    """Whatever the database says becomes an error of the provider."""
    database = sqlite3.connect(tmp_path / "data" / "simulator.db")
    database.execute("DROP TABLE machine")
    database.close()

    with pytest.raises(Unavailable):
        await simulator.list_instances()


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

    response = await handlers["GET"](request)

    assert isinstance(response, web.Response)
    assert response.status == status
