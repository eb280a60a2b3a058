"""A failure that is not the client's leaves one line in the log, under the id it was told."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from broker.api.middleware import middlewares
from broker.errors import Conflict, StoreFailed
from tests.service.conftest import Broker, Serve

MIDDLEWARE = "broker.api.middleware"


class Unheard:
    """Nobody who counts."""

    def request_answered(self, method: str, route: str, status: int, seconds: float) -> None: ...


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[int, Any, Any]]:
    """The level, id and code of each line that is about a request."""
    return [
        (record.levelno, vars(record).get("request_id"), vars(record).get("code"))
        for record in caplog.records
        if record.name == MIDDLEWARE
    ]


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("refused", 502, "provider_error"),
        ("error", 503, "provider_unavailable"),
        ("offer_gone", 503, "stale_inventory"),
    ],
)
async def test_what_a_marketplace_fails_at_is_a_warning(
    market_only: Broker, caplog: pytest.LogCaptureFixture, fault: str, status: int, code: str
) -> None:
    """With what the client was told."""
    await market_only.fault(fault, "create")

    answered, body = await market_only.rent()

    assert (status, code) == (answered, body["code"])
    assert [(logging.WARNING, body["request_id"], code)] == told(caplog)
    assert body["error"] in caplog.text


async def test_a_marketplace_that_cannot_be_reached_shows_no_credential(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither in an answer nor in a line of the log, whatever masks those."""
    caplog.set_level(logging.DEBUG)
    secrets = {
        "providers__vastai__api_key": "2f71d0c6",
        "providers__tensordock__api_token": "q8Zt5VxKp2LmN7wRb3Yc",
        "providers__tensordock__auth_id": "b52e91aa-77c0-4d1f",
    }
    nowhere = {
        f"providers__{name}__{key}": value
        for name in ("vastai", "tensordock")
        for key, value in {"api_url": "http://127.0.0.1:9/v2", "pace": 0}.items()
    }
    paths = ["inventory", "inventory?provider=tensordock", "inventory?provider=vastai"]
    paths += ["providers", "providers/tensordock/instances", "templates", "gpus"]
    async with serve(providers__simulator__enabled=False, **secrets, **nowhere) as broker:
        answers = [await broker.call("GET", f"/api/v1/{path}") for path in paths]
        answers.append(await broker.rent())
    assert [503] * 3 == [status for status, _ in answers[:3]]
    assert "cannot be reached" in f"{answers}"
    assert [] == [one for one in secrets.values() if one in f"{answers}{caplog.text}"]


@pytest.mark.parametrize(
    ("error", "status", "lines"),
    [
        (StoreFailed("The disk is full."), 500, [(logging.ERROR, "mine", "internal_error")]),
        (KeyError("surprise"), 500, [(logging.ERROR, "mine", "internal_error")]),
        (Conflict("It runs."), 409, []),
        (web.HTTPNotFound(), 404, []),
        (None, 503, []),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_mistake_of_ours_is_an_error_and_one_of_the_clients_is_silent(
    caplog: pytest.LogCaptureFixture,
    error: Exception | None,
    status: int,
    lines: list[tuple[int, str, str]],
) -> None:
    """The line of ours has the traceback. A probe that is told to wait met no failure at all."""

    async def fail(_: web.Request) -> web.StreamResponse:
        if error is not None:
            raise error
        return web.Response(status=503)

    application = web.Application(middlewares=middlewares(Unheard()))
    application.router.add_get("/", fail)
    async with TestClient(TestServer(application)) as client:
        answer = await client.get("/", headers={"X-Request-ID": "mine"})

    assert status == answer.status
    assert lines == told(caplog)
    assert bool(lines) == ("Traceback" in caplog.text)
