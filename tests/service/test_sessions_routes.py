"""The session routes: what consumers ask, and what they are told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from broker.clock import utcnow
from tests.service.conftest import Broker
from tests.service.scenarios import assert_sound, ended, instant, kinds, run, running
from tests.waiting import eventually


def named(body: Any) -> set[str]:
    """The fields that an error names."""
    return {detail["field"] for detail in body["details"]}


# Creating


SESSION_FIELDS = {
    *("id", "consumer_id", "status", "status_reason", "error", "name", "labels"),
    *("provider", "offer_id", "provider_instance_id", "gpu_type", "gpu_count", "location"),
    *("image", "launch_mode", "workload_type", "storage_policy", "managed_access"),
    *("ssh_host", "ssh_port", "ssh_user", "known_hosts", "api_endpoint", "ports"),
    *("created_at", "expires_at", "running_at", "stopped_at", "idle_since"),
    *("reservation_hours", "reservation_minutes", "idle_threshold_minutes"),
    *("price_per_hour", "estimated_cost", "accrued_cost", "attempts"),
}


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


async def test_a_listing_that_was_asked_for_before_shows_what_has_changed(
    market_only: Broker,
) -> None:
    """Every change at once, and the cost as it is now; the same as the session by itself."""
    _, body = await market_only.rent(reservation_minutes=600, reservation_hours=None)
    path = f"/api/v1/sessions/{body['session']['id']}"

    async def listed() -> Any:
        (session,) = (await market_only.call("GET", "/api/v1/sessions"))[1]["sessions"]
        return session

    async def costs_more() -> Any:
        session = await listed()
        return session if session["accrued_cost"] > before["accrued_cost"] else None

    before = await listed()
    after = await eventually(costs_more)
    assert {**before, "accrued_cost": after["accrued_cost"]} == after
    await market_only.call("POST", f"{path}/extend", {"additional_minutes": 7})
    assert 607 == (await listed())["reservation_minutes"]
    await market_only.call("DELETE", path)
    assert (await market_only.call("GET", path))[1] == await listed()
    assert "stopped" == (await listed())["status"]


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
