"""Every request of the API's first document works as it is printed there."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from tests.service.api import samples
from tests.service.api.conftest import serving_on
from tests.service.conftest import Broker
from tests.service.scenarios import metric, offers

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class World:
    """A broker with sessions of every kind, and the names of what it has."""

    broker: Broker
    names: dict[str, str]
    created: tuple[int, Any]

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """A request with the names in its path filled in."""
        return await self.broker.call(method, path.format(**self.names), body)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A running session as the document creates it, and others to extend and to end."""
    async with serving_on(tmp_path_factory.mktemp("broker")) as broker:
        _, templates = await broker.call("GET", "/api/v1/templates")
        template = templates["templates"][0]["hash_id"]
        found = await offers(broker, 5, template_hash_id=template, min_cuda=12)
        asked = {**samples.CREATE, "offer_id": found[0]["id"], "template_hash_id": template}
        created = await broker.call("POST", "/api/v1/sessions", asked)
        names = {"session": created[1]["session"]["id"], "template": template}
        for index, name in enumerate(("extended", "done", "ended"), 1):
            _, body = await broker.rent(offer_id=found[index]["id"], consumer_id=name)
            names[name] = body["session"]["id"]
        await broker.until(names["session"], "running", "failed")
        await broker.call("DELETE", f"/api/v1/sessions/{names['ended']}")
        yield World(broker, {**names, "offer": found[4]["id"]}, created)


ROWS: list[tuple[str, str, Any, int, Any]] = [
    ("GET", "/health", None, 200, samples.HEALTH),
    ("GET", "/ready", None, 200, samples.READY),
    ("GET", "/api/v1/inventory", None, 200, samples.INVENTORY),
    ("GET", "/api/v1/inventory?provider=simulator", None, 200, samples.INVENTORY),
    ("GET", "/api/v1/inventory?gpu_type=RTX%204090", None, 200, samples.INVENTORY),
    ("GET", "/api/v1/inventory?location=US", None, 200, samples.INVENTORY),
    ("GET", "/api/v1/inventory?min_vram=24&max_price=1.5", None, 200, samples.INVENTORY),
    ("GET", "/api/v1/inventory?min_gpu_count=2", None, 200, samples.INVENTORY),
    ("GET", "/api/v1/inventory?gpu_count=2", None, 200, samples.INVENTORY),
    ("GET", "/api/v1/inventory?min_reliability=0.9", None, 200, samples.INVENTORY),
    ("GET", "/api/v1/inventory?min_availability_confidence=0.5", None, 200, samples.INVENTORY),
    ("GET", "/api/v1/inventory?min_cuda=12.1", None, 200, samples.INVENTORY),
    ("GET", "/api/v1/inventory?template_hash_id={template}", None, 200, samples.INVENTORY),
    ("GET", "/api/v1/inventory?limit=5&offset=5", None, 200, samples.INVENTORY),
    ("GET", "/api/v1/inventory?limit=0", None, 400, samples.ERROR),
    ("GET", "/api/v1/inventory/{offer}", None, 200, samples.ONE_OFFER),
    ("GET", "/api/v1/inventory/vastai-12345", None, 404, samples.ERROR),
    ("GET", "/api/v1/inventory/{offer}/compatible-templates", None, 200, samples.COMPATIBLE),
    ("GET", "/api/v1/templates", None, 200, samples.TEMPLATES),
    ("GET", "/api/v1/templates?name=OLLAMA", None, 200, samples.TEMPLATES),
    ("GET", "/api/v1/templates/{template}", None, 200, samples.ONE_TEMPLATE),
    ("GET", "/api/v1/templates/a8a44c7363cbca20056020397e3bf072", None, 404, samples.ERROR),
    ("POST", "/api/v1/sessions", {"consumer_id": "my-application"}, 400, samples.ERROR),
    ("GET", "/api/v1/sessions/{session}", None, 200, samples.ONE_SESSION),
    ("GET", "/api/v1/sessions/sess-abc123", None, 404, samples.ERROR),
    ("GET", "/api/v1/sessions?consumer_id=my-application", None, 200, samples.SESSIONS),
    ("GET", "/api/v1/sessions?status=running&limit=5", None, 200, samples.SESSIONS),
    ("GET", "/api/v1/sessions/{session}/diagnostics", None, 200, samples.DIAGNOSTICS),
    ("GET", "/api/v1/sessions/{ended}/diagnostics", None, 400, samples.ERROR),
    ("GET", "/api/v1/sessions/sess-abc123/diagnostics", None, 404, samples.ERROR),
    ("POST", "/api/v1/sessions/{extended}/extend", samples.EXTEND, 200, samples.EXTENDED),
    ("POST", "/api/v1/sessions/{ended}/extend", samples.EXTEND, 409, samples.ERROR),
    ("POST", "/api/v1/sessions/{done}/done", None, 200, samples.DONE),
    ("POST", "/api/v1/sessions/{ended}/done", None, 409, samples.ERROR),
    ("DELETE", "/api/v1/sessions/{ended}", None, 200, samples.DELETED),
    ("DELETE", "/api/v1/sessions/sess-abc123", None, 404, samples.ERROR),
    ("GET", "/api/v1/costs?session_id={session}", None, 200, samples.SESSION_COST),
    ("GET", "/api/v1/costs", None, 200, samples.SUMMARY),
    ("GET", "/api/v1/costs?consumer_id=my-application&period=daily", None, 200, samples.SUMMARY),
    ("GET", "/api/v1/costs?period=monthly", None, 200, samples.SUMMARY),
    (
        *("GET", "/api/v1/costs?start_date=2026-01-01&end_date=2026-01-31", None),
        *(200, samples.SUMMARY),
    ),
    ("GET", "/api/v1/costs/summary", None, 200, samples.SUMMARY),
    ("GET", "/api/v1/costs/summary?consumer_id=my-application", None, 200, samples.SUMMARY),
]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "printed"),
    ROWS,
    ids=[f"{row[0]} {row[1]}" for row in ROWS],
)
async def test_a_request_is_answered_as_printed(
    world: World, method: str, path: str, body: Any, status: int, printed: Any
) -> None:
    """The status, every field, its type, and the words that are always the same."""
    answered, answer = await world.call(method, path, body)

    assert (status, []) == (answered, [*samples.differences(printed, answer)]), answer


async def test_a_session_is_created_as_printed(world: World) -> None:
    """The session stands beside its key; only where it is reached may not be known yet."""
    status, answer = world.created

    assert (201, "provisioning") == (status, answer["session"]["status"])
    assert [] == [*samples.differences(samples.CREATED, answer)]
    assert samples.CREATE["disk_gb"] == answer["session"]["disk_gb"]
    assert answer["ssh_private_key"].startswith("-----BEGIN ")


async def test_durations_are_told_for_people(world: World) -> None:
    """As printed: hours only where there are some."""
    _, answer = await world.call("GET", "/api/v1/sessions/{session}/diagnostics")

    assert re.fullmatch(r"(\d+h )?\d+m", answer["uptime"])
    assert re.fullmatch(r"1h 59m", answer["time_to_expiry"])


async def test_an_offer_that_is_gone_is_answered_exactly_as_printed(world: World) -> None:
    """Every field and word, and the code beside them."""
    _, session = await world.call("GET", "/api/v1/sessions/{session}")
    status, answer = await world.broker.rent(offer_id=session["offer_id"], consumer_id="late")
    names = {"offer_id": session["offer_id"], "provider": "simulator"}

    expected = {**samples.STALE, **names, "request_id": answer["request_id"]}
    assert (503, {**expected, "code": "stale_inventory"}) == (status, answer)


@pytest.mark.parametrize(
    "sample",
    [
        'gpu_sessions_active{provider="simulator",status="running"}',
        "gpu_ssh_verify_duration_seconds_count",
        *("gpu_orphans_detected_total", "gpu_destroy_failures_total"),
        "gpu_ssh_verify_failures_total",
        'gpu_provider_api_errors_total{operation="create",provider="simulator"}',
    ],
)
async def test_the_printed_metrics_are_there(world: World, sample: str) -> None:
    """With the printed labels and no others."""
    async with world.broker.client.get(f"{world.broker.url}/metrics") as response:
        lines = (await response.text()).splitlines()

    assert any(line.startswith(f"{sample} ") for line in lines)
    is_counted = sample.startswith("gpu_sessions") or sample.endswith("_count")
    assert is_counted is bool(await metric(world.broker, sample))
