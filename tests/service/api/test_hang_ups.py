"""Clients that hang up: what was asked for whole is done, the rest is not, no machine is lost."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.service.api.asking import request
from tests.service.api.wrong_values import encoded
from tests.service.conftest import Broker
from tests.service.scenarios import assert_sound, ended, only_session
from tests.waiting import eventually

SESSIONS = "/api/v1/sessions"
RENT = request(
    "POST",
    SESSIONS,
    encoded(
        {
            "consumer_id": "hasty",
            "workload_type": "llm",
            "reservation_hours": 1,
            "gpu_type": "RTX 4090",
        }
    ),
    "Idempotency-Key: hasty-1",
)
AT_ONCE = struct.pack("ii", 1, 0)
"""Of SO_LINGER: closing resets the connection."""


class Client:
    """A connection that sends and hangs up."""

    def __init__(self, broker: Broker) -> None:
        address = urlsplit(broker.url)
        self._socket = socket.create_connection((address.hostname, address.port))

    def send(self, sent: bytes) -> None:
        self._socket.sendall(sent)

    def hang_up(self, *, is_rude: bool) -> None:
        if is_rude:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        self._socket.close()


@pytest.fixture(params=[False, True], ids=["closing", "resetting"])
def is_rude(request: pytest.FixtureRequest) -> bool:
    """Whether the connection is reset instead of closed."""
    return bool(request.param)


@pytest.fixture(autouse=True)
def nothing_is_unforeseen(caplog: pytest.LogCaptureFixture) -> Any:
    """A client that is gone is no error of the broker."""
    yield
    errors = [record for record in caplog.get_records("call") if record.levelno >= logging.ERROR]
    assert not errors, [record.getMessage() for record in errors]


async def sessions(broker: Broker) -> int:
    """How many sessions there are."""
    return int((await broker.call("GET", SESSIONS))[1]["total"])


async def test_a_client_that_hangs_up_while_its_machine_is_made_has_a_session(
    broker: Broker, is_rude: bool
) -> None:
    """It goes on to run, on one machine; whoever asks again with the same key gets the same."""
    await broker.fault("slow", "create", delay="500ms")
    client = Client(broker)
    client.send(RENT)
    await eventually(lambda: sessions(broker))
    assert 0 == (await broker.machines())["ours"], "the provider has not answered yet"
    client.hang_up(is_rude=is_rude)

    session = await broker.until((await only_session(broker))["id"], "running", "failed")
    assert "running" == session["status"]
    status, again = await broker.rent(key="hasty-1", consumer_id="hasty")
    assert (201, session["id"]) == (status, again["session"]["id"])
    await assert_sound(broker, machines=1)
    await broker.call("DELETE", f"{SESSIONS}/{session['id']}")
    await ended(broker, session["id"])
    await assert_sound(broker)


async def test_a_client_that_hangs_up_at_once_has_a_session_or_none(
    broker: Broker, is_rude: bool
) -> None:
    """Whichever it is, it is whole: a new request with the same key makes no second machine."""
    client = Client(broker)
    client.send(RENT)
    client.hang_up(is_rude=is_rude)
    status, body = await broker.rent(key="hasty-1", consumer_id="hasty")

    assert status in {201, 409}, body
    session = await broker.until((await only_session(broker))["id"], "running", "failed")
    assert "running" == session["status"]
    await assert_sound(broker, machines=1)


@pytest.mark.parametrize("part", [0.02, 0.5, 0.99])
async def test_a_request_that_did_not_arrive_whole_does_nothing(
    market_only: Broker, part: float, is_rude: bool
) -> None:
    """Neither a cut head nor a cut body; the broker is well."""
    client = Client(market_only)
    client.send(RENT[: int(len(RENT) * part)])
    client.hang_up(is_rude=is_rude)
    status, _ = await market_only.call("GET", "/health")

    assert (200, 0) == (status, await sessions(market_only))
    await assert_sound(market_only)


async def test_a_client_that_hangs_up_while_its_session_is_destroyed_has_ended_it(
    market_only: Broker, is_rude: bool
) -> None:
    """The end was asked for: it is pursued, whoever listens."""
    _, body = await market_only.rent()
    session_id = body["session"]["id"]
    await market_only.fault("slow", "destroy", delay="300ms")
    client = Client(market_only)
    client.send(request("DELETE", f"{SESSIONS}/{session_id}"))
    await market_only.until(session_id, "stopping", "stopped")
    client.hang_up(is_rude=is_rude)

    session = await ended(market_only, session_id)
    assert ("stopped", "deleted") == (session["status"], session["status_reason"])
    await assert_sound(market_only)


async def test_many_clients_that_hang_up_leave_only_what_they_asked_for(
    market_only: Broker, is_rude: bool
) -> None:
    """Each whole request has its session, each session its machine, and all can be ended."""
    await market_only.fault("slow", "create", delay="200ms", times=10)
    clients = [Client(market_only) for _ in range(10)]
    for index, client in enumerate(clients):
        client.send(RENT.replace(b"hasty", b"hast%d" % index))
    await eventually(lambda: _are(market_only, 10))
    for client in clients:
        client.hang_up(is_rude=is_rude)

    async def are_made() -> bool:
        _, body = await market_only.call("GET", SESSIONS)
        return all(one["provider_instance_id"] for one in body["sessions"])

    await eventually(are_made)
    await assert_sound(market_only, machines=10)
    _, listed = await market_only.call("GET", SESSIONS)
    await asyncio.gather(
        *(market_only.call("DELETE", f"{SESSIONS}/{one['id']}") for one in listed["sessions"])
    )
    await assert_sound(market_only)


async def _are(broker: Broker, count: int) -> bool:
    return await sessions(broker) == count
