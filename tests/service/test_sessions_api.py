"""The session routes: what consumers ask, and what they are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from broker.app import serving
from broker.clock import utcnow
from broker.config import load_settings
from broker.model import KeyType
from broker.ssh.connection import SshPool
from broker.ssh.keys import generate
from providers.base import Endpoint
from tests.service.conftest import QUICK, Broker, Serve
from tests.service.scenarios import assert_sound, ended, instant, kinds, offers, running
from tests.waiting import eventually

SESSION_FIELDS = {
    *("id", "consumer_id", "status", "status_reason", "error", "name", "labels"),
    *("provider", "offer_id", "provider_instance_id", "gpu_type", "gpu_count", "location"),
    *("image", "launch_mode", "workload_type", "storage_policy", "managed_access"),
    *("ssh_host", "ssh_port", "ssh_user", "known_hosts", "api_endpoint", "ports"),
    *("created_at", "expires_at", "running_at", "stopped_at", "idle_since"),
    *("reservation_hours", "reservation_minutes", "idle_threshold_minutes"),
    *("price_per_hour", "estimated_cost", "accrued_cost", "attempts"),
}


@pytest.fixture
async def market_only(serve: Serve) -> AsyncIterator[Broker]:
    """A broker whose machines never come up: for what is decided before that."""
    async with serve(providers__simulator__ssh=False) as broker:
        yield broker


async def run(session: Any, private_key: str, command: str) -> str:
    """What a command says on a session's machine."""
    pool = SshPool(1)
    try:
        result = await pool.run(
            Endpoint(session["ssh_host"], session["ssh_port"]),
            session["ssh_user"],
            private_key,
            command,
            host_keys=tuple(session["known_hosts"]),
            timeout=timedelta(seconds=20),
        )
    finally:
        pool.close()
    return result.stdout.strip()


def named(body: Any) -> set[str]:
    """The fields that an error names."""
    return {detail["field"] for detail in body["details"]}


# Creating


async def test_a_new_session_is_told_whole(broker: Broker) -> None:
    """One shape everywhere; the secrets stand beside it, once."""
    status, body = await broker.rent(
        name="trial",
        labels={"team": "red"},
        disk_gb=60,
        reservation_minutes=90,
        reservation_hours=None,
    )
    session = body["session"]
    assert 201 == status
    assert set(body) == {
        *("session", "ssh_private_key", "session_token", "retries_attempted", "warnings"),
    }
    assert SESSION_FIELDS <= set(session)
    assert ("trial", {"team": "red"}) == (session["name"], session["labels"])
    assert (1.5, 90) == (session["reservation_hours"], session["reservation_minutes"])
    assert timedelta(minutes=90) == instant(session["expires_at"]) - instant(session["created_at"])
    assert abs(session["estimated_cost"] - session["price_per_hour"] * 1.5) < 0.000002
    assert "PRIVATE KEY" in body["ssh_private_key"]
    assert len(body["session_token"]) > 20

    running_one = await broker.until(session["id"], "running", "failed")
    assert set(session) == set(running_one)
    _, listed = await broker.call("GET", "/api/v1/sessions")
    assert [set(session)] == [set(one) for one in listed["sessions"]]
    assert "RTX 4090" in await run(running_one, body["ssh_private_key"], "nvidia-smi -L")
    database = broker.parts.settings.database_path
    for secret in (body["ssh_private_key"].splitlines()[1], body["session_token"]):
        files = [path for path in database.parent.glob(f"{database.name}*") if path.is_file()]
        assert not any(secret.encode() in path.read_bytes() for path in files)


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


async def test_a_key_of_ones_own_is_used_and_no_other_is_made(broker: Broker) -> None:
    """The answer holds no private key, and the consumer's own logs in."""
    pair = generate(KeyType.ED25519, "mine")
    status, body = await broker.rent(ssh_public_key=pair.public_line)
    assert (201, None) == (status, body["ssh_private_key"])
    session = await broker.until(body["session"]["id"], "running", "failed")

    assert "mine" == await run(session, pair.private_pem, "echo mine")


async def test_an_rsa_key_is_made_on_request(broker: Broker) -> None:
    """For consumers whose tools know no other."""
    status, body = await broker.rent(ssh_key_type="rsa")
    assert 201 == status
    assert "BEGIN RSA PRIVATE KEY" in body["ssh_private_key"]
    session = await broker.until(body["session"]["id"], "running", "failed")

    keys = await run(session, body["ssh_private_key"], "cat .ssh/authorized_keys")
    assert ["ssh-rsa", "ssh-ed25519"] == [line.split()[0] for line in keys.splitlines()]


async def test_without_managed_access_only_the_consumers_key_is_on_the_machine(
    broker: Broker,
) -> None:
    """It is verified with the key in memory, and the warnings say what is given up."""
    status, body = await broker.rent(managed_access=False, idle_threshold_minutes=10)
    assert 201 == status
    assert {"idle_unobservable", "verification_limited"} == {w["code"] for w in body["warnings"]}
    session = await broker.until(body["session"]["id"], "running", "failed")

    assert ("running", False) == (session["status"], session["managed_access"])
    keys = await run(session, body["ssh_private_key"], "cat .ssh/authorized_keys")
    assert 1 == len(keys.splitlines())


async def test_the_environment_and_the_start_command_reach_the_machine(broker: Broker) -> None:
    """They are sealed while they are needed, shown nowhere, and forgotten with the session."""
    status, body = await broker.rent(env={"TOKEN": "s3cr3t"}, on_start_cmd='echo "$TOKEN" >told')
    assert 201 == status
    session = await broker.until(body["session"]["id"], "running", "failed")

    async def told() -> bool:
        return "s3cr3t" == await run(session, body["ssh_private_key"], "cat told")

    await eventually(told)
    shown = [session, await broker.events(session["id"])]
    assert "s3cr3t" not in str(shown)
    await broker.call("DELETE", f"/api/v1/sessions/{session['id']}")
    left = await broker.parts.tools.store.confidential(session["id"])
    assert ({}, None) == (left.env, left.on_start_cmd)


# Entrypoint


async def test_an_image_of_ones_own_is_served_at_its_published_ports(broker: Broker) -> None:
    """The first port is the API's, and it answers when the session runs."""
    session = await running(
        broker, launch_mode="entrypoint", docker_image="me/server:1", exposed_ports=[9000, 9001]
    )

    assert ("me/server:1", {"9000", "9001"}) == (session["image"], set(session["ports"]))
    assert session["api_endpoint"].endswith(f":{session['ports']['9000']}")
    assert "me/server:1" == await _served_model(broker, session)
    assert session["known_hosts"], "the image has SSH as well"
    await broker.call("DELETE", f"/api/v1/sessions/{session['id']}")
    await assert_sound(broker)


@pytest.mark.parametrize(
    ("workload", "image"), [("llm_vllm", "vllm/"), ("llm_tgi", "text-generation-inference")]
)
async def test_a_model_is_served_by_the_image_that_suits_it(
    broker: Broker, workload: str, image: str
) -> None:
    """The image, its arguments and its port follow from the model."""
    model = "Qwen/Qwen2.5-7B-Instruct-AWQ"
    session = await running(
        broker,
        launch_mode="entrypoint",
        model_id=model,
        quantization="awq",
        workload_type=workload,
    )

    assert image in session["image"]
    assert (model, "awq") == (session["model_id"], session["quantization"])
    assert 1 == len(session["ports"])
    assert model == await _served_model(broker, session)


# Looking


async def test_sessions_are_listed_by_what_they_are(market_only: Broker) -> None:
    """Newest first, filtered, and page by page with the total."""
    ids = []
    for consumer in ("ann", "ann", "bob"):
        _, body = await market_only.rent(consumer_id=consumer)
        ids.insert(0, body["session"]["id"])
    await market_only.call("DELETE", f"/api/v1/sessions/{ids[1]}")

    async def listed(query: str) -> tuple[list[str], int, int]:
        status, body = await market_only.call("GET", f"/api/v1/sessions?{query}")
        assert 200 == status
        return [one["id"] for one in body["sessions"]], body["count"], body["total"]

    assert (ids, 3, 3) == await listed("")
    assert (ids[1:], 2, 2) == await listed("consumer_id=ann")
    assert ([ids[1]], 1, 1) == await listed("status=stopped,failed")
    assert ([ids[0], ids[2]], 2, 2) == await listed("status=provisioning")
    assert (ids, 3, 3) == await listed("provider=simulator")
    assert ([], 0, 0) == await listed("provider=vastai")
    assert ([ids[1]], 1, 3) == await listed("limit=1&offset=1")
    for query in ("status=gone", "limit=0", "limit=1001", "surprise=1", "limit=1&limit=2"):
        status, body = await market_only.call("GET", f"/api/v1/sessions?{query}")
        assert (400, "validation_error") == (status, body["code"]), query
        assert {query.partition("=")[0]} == named(body)


async def test_a_session_that_never_was_is_not_found(market_only: Broker) -> None:
    """By every route, in the same shape."""
    path = "/api/v1/sessions/sess-aaaaaaaaaaaa"
    asked = [
        *(("GET", path, None), ("DELETE", path, None), ("GET", f"{path}/events", None)),
        *(("GET", f"{path}/diagnostics", None), ("POST", f"{path}/done", None)),
        *(("POST", f"{path}/extend", {"additional_hours": 1}), ("POST", f"{path}/heartbeat", {})),
    ]
    for method, url, json in asked:
        status, body = await market_only.call(method, url, json)
        assert (404, "resource_not_found") == (status, body["code"]), url
        assert body["request_id"]


async def test_diagnostics_are_for_sessions_that_run(broker: Broker) -> None:
    """The seed's fields while it runs; 400 before and after."""
    await broker.fault("slow", "boot", delay="400ms")
    _, body = await broker.rent()
    path = f"/api/v1/sessions/{body['session']['id']}"
    status, early = await broker.call("GET", f"{path}/diagnostics")
    assert (400, "validation_error") == (status, early["code"])
    assert "provisioning" in early["error"]

    session = await broker.until(body["session"]["id"], "running", "failed")
    status, shown = await broker.call("GET", f"{path}/diagnostics")
    assert 200 == status
    for name in ("status", "provider", "gpu_type", "gpu_count", "ssh_host", "ssh_port", "ssh_user"):
        assert session[name] == shown[name]
    assert ("ssh", "", True) == (
        shown["launch_mode"],
        shown["api_endpoint"],
        shown["ssh_available"],
    )
    assert ("0m", "59m") == (shown["uptime"], shown["time_to_expiry"])
    assert "Full SSH diagnostics require client-side SSH access." == shown["note"]
    await broker.call("DELETE", path)
    assert 400 == (await broker.call("GET", f"{path}/diagnostics"))[0]


async def test_the_events_tell_the_whole_life_in_order(broker: Broker) -> None:
    """Ids ascend, instants do not fall, and every step is there."""
    session = await running(broker)
    await broker.call("DELETE", f"/api/v1/sessions/{session['id']}")
    events = await broker.events(session["id"])

    assert kinds(events) == [
        *("session.created", "session.provisioning", "attempt.accepted", "attempt.located"),
        *("session.running", "session.stopping", "instance.destroy_accepted"),
        *("instance.gone", "session.stopped"),
    ]
    assert sorted(event["id"] for event in events) == [event["id"] for event in events]
    instants = [instant(event["created_at"]) for event in events]
    assert sorted(instants) == instants


# Extending and ending


async def test_an_extension_moves_the_end(market_only: Broker) -> None:
    """By hours or by minutes, one of both; the reservation shows it."""
    _, body = await market_only.rent()
    path = f"/api/v1/sessions/{body['session']['id']}"
    status, extended = await market_only.call("POST", f"{path}/extend", {"additional_hours": 2})
    assert (200, "session extended", body["session"]["id"]) == (
        status,
        extended["message"],
        extended["session_id"],
    )
    session = (await market_only.call("GET", path))[1]
    assert (3, 180, extended["new_expires_at"]) == (
        session["reservation_hours"],
        session["reservation_minutes"],
        session["expires_at"],
    )
    both = {"additional_hours": 1, "additional_minutes": 1}
    for wrong in ({}, both, {"additional_hours": 13}, {"additional_minutes": 0}):
        status, refused = await market_only.call("POST", f"{path}/extend", wrong)
        assert (400, "validation_error") == (status, refused["code"]), wrong
    await market_only.call("DELETE", path)
    status, refused = await market_only.call("POST", f"{path}/extend", {"additional_hours": 1})
    assert (409, "conflict") == (status, refused["code"])


async def test_done_ends_a_session_by_itself(broker: Broker) -> None:
    """The answer does not wait; an ended session cannot be done again."""
    session = await running(broker)
    path = f"/api/v1/sessions/{session['id']}"
    status, body = await broker.call("POST", f"{path}/done")
    assert (200, "session shutdown initiated", session["id"]) == (
        status,
        body["message"],
        body["session_id"],
    )
    session = await ended(broker, session["id"])
    assert ("stopped", "done") == (session["status"], session["status_reason"])
    assert (409, "conflict") == (
        (await broker.call("POST", f"{path}/done"))[0],
        (await broker.call("POST", f"{path}/done"))[1]["code"],
    )
    await assert_sound(broker)


async def test_a_deletion_is_idempotent(market_only: Broker) -> None:
    """The same answer as often as it is asked for, and the first reason stays."""
    _, body = await market_only.rent()
    path = f"/api/v1/sessions/{body['session']['id']}"
    for _ in range(3):
        status, answer = await market_only.call("DELETE", path)
        assert 200 == status
        assert {"message": "session destroyed", "session_id": body["session"]["id"]} == answer
    session = (await market_only.call("GET", path))[1]
    assert ("stopped", "deleted", None) == (
        session["status"],
        session["status_reason"],
        session["error"],
    )
    told = kinds(await market_only.events(session["id"]))
    assert (1, 1) == (told.count("session.stopping"), told.count("session.stopped"))
    await assert_sound(market_only)


# Heartbeats


async def test_heartbeats_tell_of_use_and_of_idleness(broker: Broker) -> None:
    """By the session's token or by the API; none is believed back to where use was seen."""
    _, body = await broker.rent(managed_access=False, idle_threshold_minutes=1)
    path = f"/api/v1/sessions/{body['session']['id']}/heartbeat"
    await broker.until(body["session"]["id"], "running", "failed")
    token = body["session_token"]

    used_at = utcnow()
    status, busy = await broker.call("POST", path, {"token": token, "gpu_util": 93.5})
    assert (200, None) == (status, busy["idle_since"])
    status, refused = await broker.call("POST", path, {"token": "guessed", "idle_seconds": 900})
    assert (401, "authentication_failed") == (status, refused["code"])
    assert token not in str(refused)
    status, wrong = await broker.call("POST", path, {"gpu_util": 101, "idle_seconds": -1})
    assert (400, {"gpu_util", "idle_seconds"}) == (status, named(wrong))

    for _ in range(3):
        status, idle = await broker.call("POST", path, {"idle_seconds": 900})
        assert (200, body["session"]["id"]) == (status, idle["session_id"])
        assert instant(idle["idle_since"]) > used_at - timedelta(milliseconds=1)
    assert "running" == (await broker.session(body["session"]["id"]))["status"]
    assert "session.idling" in kinds(await broker.events(body["session"]["id"]))


async def test_a_session_that_was_never_used_ends_by_its_heartbeats(broker: Broker) -> None:
    """Several of them, and the evidence says what they were."""
    _, body = await broker.rent(managed_access=False, idle_threshold_minutes=1)
    session_id = body["session"]["id"]
    await broker.until(session_id, "running", "failed")
    for _ in range(3):
        beat = {"token": body["session_token"], "idle_seconds": 90, "gpu_util": 0}
        await broker.call("POST", f"/api/v1/sessions/{session_id}/heartbeat", beat)
    session = await ended(broker, session_id)

    assert ("stopped", "idle") == (session["status"], session["status_reason"])
    (verdict,) = (e for e in await broker.events(session_id) if e["type"] == "session.idle")
    assert [("heartbeat", 90)] * 3 == [
        (reading["source"], reading["idle_seconds"]) for reading in verdict["data"]["readings"]
    ]
    await assert_sound(broker)


async def _served_model(broker: Broker, session: Any) -> str:
    """What the API of a session's machine says that it serves."""
    async with broker.client.get(f"{session['api_endpoint']}/v1/models") as response:
        assert 200 == response.status
        return str((await response.json())["data"][0]["id"])


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
