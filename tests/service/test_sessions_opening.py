"""POST /sessions: what is taken, what is refused, and in which words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from broker.app import serving
from broker.config import load_settings
from tests.service.conftest import QUICK, Broker, Serve
from tests.service.scenarios import instant, offers
from tests.waiting import eventually


def named(body: Any) -> set[str]:
    """The fields that an error names."""
    return {detail["field"] for detail in body["details"]}


# Creating


def _numbers(text: str) -> list[str]:
    return [
        "".join(filter(str.isdigit, word)) for word in text.split() if any(map(str.isdigit, word))
    ]


@asynccontextmanager
async def _starting(folder: Any, faults: list[dict[str, Any]]) -> AsyncIterator[Broker]:
    """A broker that is still starting."""
    flags = QUICK | {
        "database.url": str(folder / "broker.db"),
        "providers.simulator.faults": faults,
    }
    settings = load_settings(file=None, environment={}, flags=flags)
    async with serving(settings) as started, aiohttp.ClientSession() as client:
        yield Broker(started.url, started.parts, client)


async def test_an_offer_that_its_template_does_not_want_is_refused_before_renting(
    market_only: Broker,
) -> None:
    """With the conditions that it does not meet; a warning names those that cannot be judged."""
    vllm, ollama = "a3c95e20b7d84f1c9e6d2b8f4a7c1053", "5d1f0c7be2a94e6f8a3b6c9d0e1f2a34"
    (small,) = await offers(market_only, 1, gpu_type="RTX 3060")
    status, body = await market_only.rent(offer_id=small["id"], template_hash_id=vllm)

    assert (400, "validation_error") == (status, body["code"])
    assert named(body) == {"template_hash_id"}
    assert "gpu_ram gte 24000" in body["details"][0]["message"]
    _, listed = await market_only.call("GET", "/api/v1/sessions")
    assert listed["total"] == 0
    status, body = await market_only.rent(offer_id=small["id"], template_hash_id=ollama)
    assert status == 201
    assert [warning["code"] for warning in body["warnings"]] == ["template_filter_not_applied"]
    assert "cpu_arch" in body["warnings"][0]["message"]


async def test_every_wrong_field_is_named(market_only: Broker) -> None:
    """Not only the first; and nothing is recorded."""
    status, body = await market_only.rent(
        consumer_id="",
        workload_type="mining",
        reservation_hours=13,
        max_price=-1,
        exposed_ports=[70_000],
        ssh_timeout_minutes=31,
        max_retries=6,
        surprise=1,
        labels={"a": 1},
    )
    assert (400, "validation_error") == (status, body["code"])
    assert named(body) == {
        *("consumer_id", "workload_type", "reservation_hours", "max_price", "exposed_ports.0"),
        *("ssh_timeout_minutes", "max_retries", "surprise", "labels.a"),
    }
    assert body["request_id"]
    assert all(detail["message"] for detail in body["details"])
    _, listed = await market_only.call("GET", "/api/v1/sessions")
    assert 0 == listed["total"]


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"reservation_minutes": 5}, "reservation"),
        ({"reservation_hours": None}, "reservation"),
        ({"offer_id": "simulator-1", "gpu_type": "RTX 4090"}, "offer_id"),
        ({"ssh_public_key": "no key"}, "ssh_public_key"),
        ({"launch_mode": "entrypoint"}, "launch_mode"),
        ({"provider": "nobody"}, "provider"),
    ],
)
async def test_contradictions_are_refused(
    market_only: Broker, fields: dict[str, Any], word: str
) -> None:
    """The answer says which fields do not go together, or are no good."""
    status, body = await market_only.rent(**fields)

    assert (400, "validation_error") == (status, body["code"])
    assert word in str(body)


async def test_the_cheapest_offer_that_fits_the_criteria_is_rented(market_only: Broker) -> None:
    """Only trusted offers, unless the consumer takes others as well."""
    criteria = {"gpu_type": "RTX 3090,RTX 4090", "min_vram": 24, "location": "US", "gpu_count": 2}
    query = "gpu_type=RTX%203090,RTX%204090&min_vram=24&location=US&gpu_count=2"
    _, listed = await market_only.call("GET", f"/api/v1/inventory?{query}")
    trusted = [
        offer
        for offer in listed["offers"]
        if offer["verified"] and (offer["reliability"] or 1) >= 0.9
    ]
    _, careful = await market_only.rent(consumer_id="careful", **criteria)
    assert trusted[0]["id"] == careful["session"]["offer_id"]
    left = [offer for offer in listed["offers"] if offer["id"] != trusted[0]["id"]]
    _, bold = await market_only.rent(consumer_id="bold", allow_unverified=True, **criteria)
    assert left[0]["id"] == bold["session"]["offer_id"]


@pytest.mark.parametrize(
    "spelling", ["rtx-4090", "RTX_4090", "NVIDIA GeForce RTX 4090", "geforcertx4090-pcie-24gb"]
)
async def test_criteria_know_a_gpu_by_any_spelling(market_only: Broker, spelling: str) -> None:
    """The session has the name that the market gives it."""
    status, body = await market_only.rent(gpu_type=spelling)
    assert (201, "RTX 4090") == (status, body["session"]["gpu_type"])


async def test_criteria_that_nothing_fits_are_told_as_such(market_only: Broker) -> None:
    """404, with a code of its own."""
    status, body = await market_only.rent(max_price=0.01)

    assert (404, "no_offer_fits") == (status, body["code"])


async def test_an_offer_that_never_was_is_not_found(market_only: Broker) -> None:
    """404 is not 503: looking again would not help."""
    status, body = await market_only.rent(offer_id="simulator-7")

    assert (404, "resource_not_found") == (status, body["code"])


async def test_an_offer_that_somebody_else_has_rented_is_stale(market_only: Broker) -> None:
    """It was there within the hour, so looking again helps."""
    (offer,) = await offers(market_only, 1)
    assert 201 == (await market_only.rent(offer_id=offer["id"]))[0]
    status, body = await market_only.rent(offer_id=offer["id"], consumer_id="late")

    assert (503, "stale_inventory", True) == (status, body["code"], body["retry_suggested"])
    assert (offer["id"], "simulator") == (body["offer_id"], body["provider"])


async def test_the_same_consumer_gets_an_offer_once(market_only: Broker) -> None:
    """409 names the session that is live; at the same instant too; and afterwards it is free."""
    (offer,) = await offers(market_only, 1)
    answers = await asyncio.gather(*(market_only.rent(offer_id=offer["id"]) for _ in range(4)))
    assert [201, 409, 409, 409] == sorted(status for status, _ in answers)
    (opened,) = (body for status, body in answers if status == 201)
    twins = [body for status, body in answers if status == 409]
    assert [opened["session"]["id"]] * 3 == [body["details"]["session_id"] for body in twins]
    assert {"conflict"} == {body["code"] for body in twins}
    await market_only.call("DELETE", f"/api/v1/sessions/{opened['session']['id']}")

    async def is_free() -> bool:
        status, _ = await market_only.rent(offer_id=offer["id"])
        return status == 201

    await eventually(is_free)


async def test_the_hard_maximum_bounds_a_reservation(serve: Serve) -> None:
    """From the beginning, and with all its extensions."""
    async with serve(lifecycle__hard_max_hours="2", providers__simulator__ssh=False) as broker:
        status, body = await broker.rent(reservation_hours=3)
        assert (400, "hard_max_exceeded") == (status, body["code"])
        _, body = await broker.rent(reservation_hours=1)
        path = f"/api/v1/sessions/{body['session']['id']}/extend"
        status, refused = await broker.call("POST", path, {"additional_minutes": 61})
        assert (400, "hard_max_exceeded") == (status, refused["code"])
        status, extended = await broker.call("POST", path, {"additional_minutes": 60})
        assert 200 == status
        assert instant(body["session"]["expires_at"]) + timedelta(hours=1) == instant(
            extended["new_expires_at"]
        )


async def test_a_disk_that_is_too_small_for_the_model_is_refused_with_the_numbers(
    market_only: Broker,
) -> None:
    """Before anything is recorded, so that the next try is not a duplicate."""
    status, body = await market_only.rent(model_id="meta-llama/Llama-3.1-70B", disk_gb=60)

    assert (400, "insufficient_disk") == (status, body["code"])
    assert "disk_gb" in named(body)
    assert "60" in str(body)
    assert any(int(number) > 140 for number in _numbers(str(body))), body
    assert 0 == (await market_only.call("GET", "/api/v1/sessions"))[1]["total"]


@pytest.mark.parametrize("fields", [{"storage_policy": "preserve"}, {"watchdog": True}])
async def test_what_no_provider_can_do_is_refused(
    market_only: Broker, fields: dict[str, Any]
) -> None:
    """The answer names the field."""
    status, body = await market_only.rent(**fields)

    assert (400, "capability_unsupported") == (status, body["code"])
    assert set(fields) == named(body)


async def test_a_broker_that_is_starting_takes_no_sessions(serve: Serve, tmp_path: Any) -> None:
    """It says so, shows what it knows, and is not healthy."""
    slow = [{"fault": "slow", "operation": "list", "delay": "60s", "times": 9}]
    async with _starting(tmp_path, slow) as broker:
        status, body = await broker.rent()
        assert (503, "not_ready", True) == (status, body["code"], body["retry_suggested"])
        status, health = await broker.call("GET", "/health")
        assert (503, "unavailable", "false") == (
            status,
            health["status"],
            health["services"]["ready"],
        )
        assert (503, False) == (
            (await broker.call("GET", "/ready"))[0],
            (await broker.call("GET", "/ready"))[1]["ready"],
        )
        assert 200 == (await broker.call("GET", "/api/v1/sessions"))[0]


# Access
