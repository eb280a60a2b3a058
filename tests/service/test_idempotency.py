"""The Idempotency-Key: a request that is sent twice is carried out once, and no reply is lost."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from broker.clock import utcnow
from broker.model import KeyType
from broker.ssh.errors import NotYet
from broker.ssh.keys import generate
from broker.usecases.idempotency import KEPT
from tests.service.conftest import Broker, Serve
from tests.service.scenarios import assert_sound, instant, kinds, market, only_session, run
from tests.waiting import eventually

SESSIONS = "/api/v1/sessions"


async def _machines(broker: Broker) -> int:
    return len(await market(broker).list_instances())


# Creating


async def test_requests_with_one_key_get_one_session(broker: Broker) -> None:
    """Also when they come at the same time: one machine, one key, one token."""
    answers = await asyncio.gather(*(broker.rent(key="one") for _ in range(6)))
    answers.append(await broker.rent(key="one"))

    assert {201} == {status for status, _ in answers}
    assert 1 == len({body["session"]["id"] for _, body in answers})
    assert 1 == len({(body["ssh_private_key"], body["session_token"]) for _, body in answers})
    assert 1 == await _machines(broker)
    session = await broker.until(answers[0][1]["session"]["id"], "running", "failed")
    assert "me" == await run(session, answers[-1][1]["ssh_private_key"], "echo me")


async def test_a_repeated_answer_says_so(market_only: Broker) -> None:
    """A header tells it, so that a client may know that no machine was rented."""
    body = {"consumer_id": "me", "workload_type": "llm", "reservation_hours": 1}
    told = []
    for _ in range(2):
        async with market_only.client.post(
            f"{market_only.url}{SESSIONS}", json=body, headers={"Idempotency-Key": "one"}
        ) as response:
            told.append(response.headers.get("Idempotent-Replayed"))
    assert [None, "true"] == told


async def test_a_key_stands_for_one_request(market_only: Broker) -> None:
    """Another body, or another path, is refused, and nothing is rented for it."""
    _, first = await market_only.rent(key="one")
    session_id = first["session"]["id"]
    other = await market_only.rent(key="one", reservation_hours=2)
    path = f"{SESSIONS}/{session_id}/extend"
    elsewhere = await market_only.call("POST", path, {"additional_hours": 1}, key="one")

    for status, body in (other, elsewhere):
        assert (409, "idempotency_mismatch") == (status, body["code"])
        assert session_id not in str(body), "the key may be somebody else's"
    assert (await only_session(market_only))["reservation_hours"] == 1


async def test_the_order_of_the_fields_does_not_matter(market_only: Broker) -> None:
    """JSON objects have none."""
    one = await market_only.rent(key="one", labels={"a": "1", "b": "2"}, name="x")
    other = await market_only.rent(key="one", name="x", labels={"b": "2", "a": "1"})

    assert (201, 201) == (one[0], other[0])
    assert one[1]["session"]["id"] == other[1]["session"]["id"]


async def test_a_request_that_did_nothing_is_looked_at_afresh(market_only: Broker) -> None:
    """A refusal before anything was recorded leaves no trace."""
    assert 404 == (await market_only.rent(key="one", offer_id="simulator-7"))[0]
    status, body = await market_only.rent(key="one")

    assert 201 == status, body


async def test_a_refused_creation_is_not_tried_again(broker: Broker) -> None:
    """Its session is over; the answer is the same one."""
    await broker.fault("offer_gone", "create")
    answers = [await broker.rent(key="one") for _ in range(2)]

    assert [(503, "stale_inventory")] * 2 == [(status, body["code"]) for status, body in answers]
    assert "failed" == (await only_session(broker))["status"]
    assert 0 == await _machines(broker)


@pytest.mark.parametrize("key", ["", "x" * 129, "ü\x85"])
async def test_a_key_that_is_none_is_refused(market_only: Broker, key: str) -> None:
    """The answer names the header."""
    status, body = await market_only.rent(key=key)

    assert (400, "validation_error") == (status, body["code"])
    assert ["Idempotency-Key"] == [detail["field"] for detail in body["details"]]


async def test_a_key_is_forgotten_after_a_day(market_only: Broker) -> None:
    """Then it may stand for another request."""
    await market_only.rent(key="old")
    store = market_only.parts.tools.store
    assert await store.carried_out("old", since=utcnow() - KEPT) is not None
    assert await store.carried_out("old", since=utcnow() + timedelta(seconds=1)) is None
    await store.prune_carried_out(utcnow() + timedelta(seconds=1))
    status, body = await market_only.rent(key="old", consumer_id="another")

    assert (201, "another") == (status, body["session"]["consumer_id"])


# Lost replies


async def _assert_locked_out(session: Any, private_key: str) -> None:
    with pytest.raises(NotYet, match="does not accept the key"):
        await run(session, private_key, "true")


async def test_a_lost_reply_does_not_lose_the_machine(broker: Broker) -> None:
    """A repetition puts a fresh key on the running machine; the lost one stops working."""
    _, lost = await broker.rent(key="one")
    session = await broker.until(lost["session"]["id"], "running", "failed")
    await run(session, lost["ssh_private_key"], "echo theirs >>.ssh/authorized_keys")
    status, found = await broker.rent(key="one")

    assert (201, session["id"]) == (status, found["session"]["id"])
    keys = await run(session, found["ssh_private_key"], "cat .ssh/authorized_keys")
    assert "theirs" in keys.splitlines(), "what the consumer has added stays"
    assert 3 == len(keys.splitlines())
    await _assert_locked_out(session, lost["ssh_private_key"])
    heartbeat = f"{SESSIONS}/{session['id']}/heartbeat"
    old = await broker.call("POST", heartbeat, {"token": lost["session_token"]})
    new = await broker.call("POST", heartbeat, {"token": found["session_token"]})
    assert (401, 200) == (old[0], new[0])
    assert "session.rekeyed" in kinds(await broker.events(session["id"]))
    assert found["ssh_private_key"] not in str(await broker.events(session["id"]))


async def test_a_lost_reply_is_found_after_a_restart(serve: Serve) -> None:
    """While the machine boots it is told to try again, for the key is not in memory any more."""
    async with serve(providers__simulator__boot_time="2s") as broker:
        _, lost = await broker.rent(key="one")
    async with serve(providers__simulator__boot_time="2s") as broker:
        status, body = await broker.rent(key="one")
        assert (409, "conflict", True) == (status, body["code"], body["retry_suggested"])
        session = await broker.until(lost["session"]["id"], "running", "failed")
        status, found = await broker.rent(key="one")

        assert (201, session["id"]) == (status, found["session"]["id"])
        assert "mine" == await run(session, found["ssh_private_key"], "echo mine")
        await _assert_locked_out(session, lost["ssh_private_key"])
        await broker.call("DELETE", f"{SESSIONS}/{session['id']}")
        await assert_sound(broker)


async def test_a_key_of_ones_own_needs_no_other(broker: Broker) -> None:
    """The repetition gets the same session and a fresh token."""
    pair = generate(KeyType.ED25519, "mine")
    _, first = await broker.rent(key="one", ssh_public_key=pair.public_line)
    session = await broker.until(first["session"]["id"], "running", "failed")
    status, again = await broker.rent(key="one", ssh_public_key=pair.public_line)

    assert (201, session["id"], None) == (
        status,
        again["session"]["id"],
        again["ssh_private_key"],
    )
    assert again["session_token"] not in (None, first["session_token"])
    assert "mine" == await run(session, pair.private_pem, "echo mine")


async def test_a_key_that_only_the_consumer_had_cannot_be_told_again(broker: Broker) -> None:
    """Without managed access the session is told, with a warning in place of the key."""
    _, first = await broker.rent(key="one", managed_access=False)
    session = await broker.until(first["session"]["id"], "running", "failed")
    status, again = await broker.rent(key="one", managed_access=False)

    assert (201, None) == (status, again["ssh_private_key"])
    assert "key_not_reissued" in {warning["code"] for warning in again["warnings"]}
    assert "mine" == await run(session, first["ssh_private_key"], "echo mine")


async def test_a_session_that_has_ended_is_told_without_secrets(broker: Broker) -> None:
    """The same session, and no second machine."""
    _, first = await broker.rent(key="one")
    await broker.call("DELETE", f"{SESSIONS}/{first['session']['id']}")
    status, again = await broker.rent(key="one")

    assert (201, "stopped") == (status, again["session"]["status"])
    assert (None, None) == (again["ssh_private_key"], again["session_token"])
    assert 0 == await _machines(broker)


async def test_a_served_image_gets_its_key_when_ssh_comes_later(broker: Broker) -> None:
    """The port alone was proved: until a login works, the session is told without a key."""
    await broker.fault("refused", "ssh", delay="3s")
    served = {"launch_mode": "entrypoint", "docker_image": "me/server:1", "exposed_ports": [9000]}
    _, lost = await broker.rent(key="one", **served)
    session = await broker.until(lost["session"]["id"], "running", "failed")
    assert [] == session["known_hosts"]
    status, early = await broker.rent(key="one", **served)
    assert (201, None) == (status, early["ssh_private_key"])
    assert early["session_token"] != lost["session_token"]
    assert "key_not_reissued" in {warning["code"] for warning in early["warnings"]}

    async def told() -> Any:
        _, again = await broker.rent(key="one", **served)
        return again if again["ssh_private_key"] else None

    found = await eventually(told)
    session = await broker.session(session["id"])
    assert 1 == len(session["known_hosts"]), "the first login pins the host key"
    assert "mine" == await run(session, found["ssh_private_key"], "echo mine")


# Extending


async def test_an_extension_with_a_key_happens_once(market_only: Broker) -> None:
    """Concurrently too; its repeated answer is the first one, whatever came later."""
    _, body = await market_only.rent(reservation_hours=1)
    session = body["session"]
    path = f"{SESSIONS}/{session['id']}/extend"
    hour = {"additional_hours": 1}
    answers = await asyncio.gather(
        *(market_only.call("POST", path, hour, key="one") for _ in range(4))
    )
    await market_only.call("POST", path, hour, key="other")
    answers.append(await market_only.call("POST", path, hour, key="one"))

    assert {200} == {status for status, _ in answers}
    (answered,) = {body["new_expires_at"] for _, body in answers}
    assert timedelta(hours=1) == instant(answered) - instant(session["expires_at"])
    now = await market_only.session(session["id"])
    assert timedelta(hours=2) == instant(now["expires_at"]) - instant(session["expires_at"])


# Rekeying


async def test_a_fresh_key_can_be_asked_for(broker: Broker) -> None:
    """The one before stops working, and the kind is that of the session unless told otherwise."""
    _, body = await broker.rent()
    session = await broker.until(body["session"]["id"], "running", "failed")
    path = f"{SESSIONS}/{session['id']}/rekey"
    status, fresh = await broker.call("POST", path)
    assert (200, "session rekeyed", session["id"]) == (
        status,
        fresh["message"],
        fresh["session_id"],
    )
    assert "mine" == await run(session, fresh["ssh_private_key"], "echo mine")
    await _assert_locked_out(session, body["ssh_private_key"])

    status, rsa = await broker.call("POST", path, {"ssh_key_type": "rsa"})
    assert "BEGIN RSA PRIVATE KEY" in rsa["ssh_private_key"]
    assert "mine" == await run(session, rsa["ssh_private_key"], "echo mine")
    await _assert_locked_out(session, fresh["ssh_private_key"])


async def test_a_key_of_ones_own_can_stand_for_the_lost_one(broker: Broker) -> None:
    """No private key is made or returned then."""
    _, body = await broker.rent()
    session = await broker.until(body["session"]["id"], "running", "failed")
    pair = generate(KeyType.ED25519, "it's $HOME; `mine`")
    path = f"{SESSIONS}/{session['id']}/rekey"
    status, fresh = await broker.call("POST", path, {"ssh_public_key": pair.public_line})

    assert (200, None, pair.public_line) == (
        status,
        fresh["ssh_private_key"],
        fresh["ssh_public_key"],
    )
    assert "mine" == await run(session, pair.private_pem, "echo mine")
    await _assert_locked_out(session, body["ssh_private_key"])


async def test_fresh_keys_asked_for_at_once_leave_one_that_works(broker: Broker) -> None:
    """The exchanges follow each other; the last key is the one of the session."""
    _, body = await broker.rent()
    session = await broker.until(body["session"]["id"], "running", "failed")
    path = f"{SESSIONS}/{session['id']}/rekey"
    answers = await asyncio.gather(*(broker.call("POST", path) for _ in range(3)))
    assert {200} == {status for status, _ in answers}
    kept, _ = await broker.parts.tools.journal.read(session["id"])
    for _, fresh in answers:
        if fresh["ssh_public_key"] == kept.public_key:
            assert "mine" == await run(session, fresh["ssh_private_key"], "echo mine")
        else:
            await _assert_locked_out(session, fresh["ssh_private_key"])


async def test_a_fresh_key_needs_a_machine_that_takes_it(broker: Broker) -> None:
    """Each refusal tells whether trying again may help."""
    await broker.fault("slow", "boot", delay="1s")
    _, body = await broker.rent()
    path = f"{SESSIONS}/{body['session']['id']}/rekey"
    status, early = await broker.call("POST", path)
    assert (409, "conflict", True) == (status, early["code"], early["retry_suggested"])
    session = await broker.until(body["session"]["id"], "running", "failed")
    await broker.call("DELETE", f"{SESSIONS}/{session['id']}")
    status, late = await broker.call("POST", path)
    assert (409, "conflict") == (status, late["code"])
    assert "retry_suggested" not in late

    _, own = await broker.rent(consumer_id="own", managed_access=False)
    await broker.until(own["session"]["id"], "running", "failed")
    status, refused = await broker.call("POST", f"{SESSIONS}/{own['session']['id']}/rekey")
    assert (409, "conflict") == (status, refused["code"])
    assert "managed_access" in refused["error"]


async def test_a_machine_that_takes_no_key_keeps_the_old_one(broker: Broker) -> None:
    """The exchange is one move: it happens as a whole or not at all."""
    _, body = await broker.rent()
    session = await broker.until(body["session"]["id"], "running", "failed")
    hide = "mkdir .ssh/authorized_keys.gpu-broker"
    await run(session, body["ssh_private_key"], hide)
    status, refused = await broker.call("POST", f"{SESSIONS}/{session['id']}/rekey")

    assert (409, "conflict", True) == (status, refused["code"], refused["retry_suggested"])
    assert "did not take" in refused["error"]
    assert "mine" == await run(session, body["ssh_private_key"], "echo mine")


async def test_an_unknown_session_has_no_key(market_only: Broker) -> None:
    """404, as everywhere."""
    status, body = await market_only.call("POST", f"{SESSIONS}/sess-aaaaaaaaaa/rekey")
    assert (404, "resource_not_found") == (status, body["code"])
