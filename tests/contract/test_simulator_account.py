"""The account at the simulated market: its bill, its restarts, its markets, its limits."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from providers.base import Endpoint, Instance
from providers.errors import (
    BadResponse,
    InvalidRequest,
    OfferGone,
    Unavailable,
)
from providers.simulator import SimulatorOptions, SimulatorProvider, open_simulator
from providers.simulator.account import Account
from providers.simulator.machine import Fate, launch_of
from tests.contract.conftest import Clock, a_spec, first_offer


async def rent(simulator: SimulatorProvider) -> Instance:
    """The first offer's machine."""
    return await simulator.create(a_spec(await first_offer(simulator)))


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


async def test_a_machine_can_be_stopped_and_started_and_its_ports_be_chosen(
    simulator: SimulatorProvider, tmp_path: Path, clock: Clock
) -> None:
    """By whoever keeps the account; nothing else of the machine changes."""
    offer = await first_offer(simulator)
    account = Account(tmp_path)
    made = account.rent(
        launch_of(a_spec(offer), offer, host_id="host", host_key="key"),
        lambda at: Fate(boots_at=at),
        now=clock.now,
        created_at=clock.now,
        ssh_port=20_022,
        published={8000: 20_080},
    )
    account.change_fate(made.id, Fate(boots_at=clock.now, dies_at=clock.now))
    stopped = account.find(made.id)
    account.change_fate(made.id, Fate(boots_at=clock.now))
    started = account.find(made.id)
    account.close()

    assert (20_022, {8000: 20_080}) == (made.ssh_port, made.published)
    assert made == started
    assert stopped is not None
    assert [False, True] == [stopped.is_up(clock.now), made.is_up(clock.now)]


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
