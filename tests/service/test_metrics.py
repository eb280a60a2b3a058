"""The metrics of a broker that lives through everything."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from decimal import Decimal

import pytest
from prometheus_client.parser import text_string_to_metric_families

from broker.app import api_document
from tests.service.conftest import Broker, Serve
from tests.service.scenarios import a_label, ended, made, market, metric, running
from tests.waiting import eventually

Families = dict[str, set[tuple[str, float]]]
PROMTOOL = shutil.which("promtool")
SPENT = 'gpu_cost_accrued_dollars_total{provider="simulator"}'


async def exposed(broker: Broker) -> str:
    """What Prometheus reads."""
    async with broker.client.get(f"{broker.url}/metrics") as response:
        assert response.status == 200
        return await response.text()


async def families(broker: Broker) -> Families:
    """The metrics of ours by name, each with its samples."""
    return {
        family.name: {(f"{s.name}{sorted(s.labels.items())}", s.value) for s in family.samples}
        for family in text_string_to_metric_families(await exposed(broker))
        if not family.name.startswith(("process_", "python_"))
    }


async def live_through_everything(broker: Broker) -> None:
    """A session that runs and ends, and one misfortune of each kind."""
    await broker.fault("wrong_gpu", "boot")
    _, body = await broker.rent(consumer_id="deceived")
    assert "failed" == (await ended(broker, body["session"]["id"]))["status"]
    orphaned = await made(broker, a_label(broker))
    lost = await running(broker, consumer_id="unlucky")
    await market(broker).destroy(lost["provider_instance_id"])
    assert "instance_lost" == (await ended(broker, lost["id"]))["status_reason"]
    await broker.fault("error", "destroy", times=2)
    session = await running(broker)
    await broker.call("DELETE", f"/api/v1/sessions/{session['id']}")

    async def is_reaped() -> bool:
        return orphaned not in {one.id for one in await market(broker).list_instances()}

    await eventually(is_reaped)


MOVED_ELSEWHERE = {"gpu_clock_jumps", "gpu_leaked_machine_seconds", "gpu_database_unwritable"}
"""By tests of their own: in simulated time, or with a database that somebody keeps locked."""


async def test_every_metric_moves(broker: Broker) -> None:
    """None of them is dead: whoever adds one shows here what moves it."""
    before = await families(broker)
    moved: set[str] = set()
    living = asyncio.create_task(live_through_everything(broker))

    async def look() -> bool:
        is_over = living.done()
        seen = await families(broker)
        moved.update(name for name in seen if seen[name] != before.get(name))
        return is_over

    await eventually(look)
    await living
    names = {family.name for family in broker.parts.metrics.registry.collect()}

    theirs = {name for name in names if name.startswith(("process_", "python_"))}
    assert names - theirs - MOVED_ELSEWHERE == moved - MOVED_ELSEWHERE


async def test_the_failures_of_every_route_are_counted_from_zero(market_only: Broker) -> None:
    """Those of HEAD and of a provider's own routes too: the first one of each is an increase."""
    text = await exposed(market_only)
    served = {
        (method, path)
        for path, methods in api_document()["paths"].items()
        for method in [*map(str.upper, methods), *(["HEAD"] if "get" in methods else [])]
    } | {("POST", "/simulator/faults")}

    counted = {
        (sample.labels["method"], sample.labels["route"])
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if family.name == "http_requests" and sample.labels["status"] == "500"
        if sample.value == 0
    }

    assert served <= counted


async def test_what_was_spent_is_what_the_sessions_cost_also_after_a_restart(
    serve: Serve,
) -> None:
    """The counter goes on where it was, and ends at the sum of the bills."""
    async with serve() as broker:
        first = await running(broker, consumer_id="first")
        await broker.call("DELETE", f"/api/v1/sessions/{first['id']}")
        second = await running(broker)
        before = await metric(broker, SPENT)
    async with serve() as broker:
        resumed = await metric(broker, SPENT)
        await broker.call("DELETE", f"/api/v1/sessions/{second['id']}")
        costs = [await broker.session(one["id"]) for one in (first, second)]
        total = sum(Decimal(str(one["accrued_cost"])) for one in costs)

        assert 0 < before <= resumed <= float(total)
        assert float(total) == await metric(broker, SPENT)
        assert 0 == await metric(broker, 'gpu_burn_dollars_per_hour{provider="simulator"}')


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: prometheus)")
async def test_promtool_finds_nothing_to_say(broker: Broker) -> None:
    """Names, units, types and help as Prometheus wants them, of the standard ones too."""
    await running(broker)
    text = await exposed(broker)
    check = [PROMTOOL or "", "check", "metrics"]
    done = await asyncio.to_thread(
        subprocess.run, check, input=text, capture_output=True, text=True, check=False
    )

    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)
