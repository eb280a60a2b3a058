"""Machines whose provider owns `authorized_keys`: it is told of every key, and again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from broker.clock import utcnow
from broker.decide import upkeep
from broker.decide.proof import bare_public_key
from broker.model import KeyType
from broker.ssh.keys import generate
from tests.service.conftest import Broker, Serve
from tests.service.odd_market import OddMarket, odd_market, serve_oddly
from tests.service.scenarios import FOR_EVER, assert_sound, kinds, metric, run, running
from tests.service.test_sweep import watch_idleness
from tests.waiting import eventually

__all__ = ["serve_oddly"]

_MOMENT = timedelta(milliseconds=200)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider is quick, and told again after moments."""
    monkeypatch.setattr("broker.decide.keys._EFFECT", _MOMENT)
    monkeypatch.setattr("broker.decide.keys._FIRST_PAUSE", _MOMENT)


def own(broker: Broker) -> str:
    """The broker's own key, as the provider is told it."""
    return bare_public_key(broker.parts.tools.keyring.own.public_line)


def attached(market: OddMarket) -> list[str]:
    """The keys that the provider was told of, in this order."""
    return [key for call, key in market.calls if call == "attach"]


async def test_both_keys_are_attached_to_a_new_machine(serve_oddly: Serve) -> None:
    """Once is enough where they are accepted; the calls are counted like all others."""
    async with serve_oddly() as broker:
        session = await running(broker)
        keys = attached(odd_market(broker))

        assert [own(broker)] == keys[1::2]
        assert 2 == len(keys)
        labels = '{operation="attach_key",provider="simulator"}'
        assert 2 == await metric(broker, f"gpu_provider_request_duration_seconds_count{labels}")
        await broker.call("DELETE", f"/api/v1/sessions/{session['id']}")
        await assert_sound(broker)


async def test_the_brokers_own_key_is_attached_only_where_it_may_be(serve_oddly: Serve) -> None:
    """`managed_access: false` is the consumer's word."""
    async with serve_oddly() as broker:
        await running(broker, managed_access=False)

        assert own(broker) not in attached(odd_market(broker))


async def test_a_provider_that_does_not_take_the_keys_is_asked_again(serve_oddly: Serve) -> None:
    """Until the machine can be proved; meanwhile the trouble is told."""
    async with serve_oddly() as broker:
        odd_market(broker).key_troubles = 3
        session = await running(broker)

        assert 1 == len(session["attempts"])
        assert 5 == len(attached(odd_market(broker)))


async def test_the_cause_is_told_where_the_keys_are_never_taken(serve_oddly: Serve) -> None:
    """The deadline of the attempt ends it."""
    async with serve_oddly(ssh__verify_timeout="2s") as broker:
        odd_market(broker).key_troubles = FOR_EVER
        _, body = await broker.rent()
        session = await broker.until(body["session"]["id"], "running", "failed")

        assert ("failed", "ssh_timeout") == (session["status"], session["status_reason"])
        assert "does not take the keys" in session["error"]
        await assert_sound(broker)


async def test_keys_that_a_machine_lost_while_booting_are_attached_again(
    serve_oddly: Serve,
) -> None:
    """The login says that they are missing; the attempt goes on."""
    async with serve_oddly() as broker:
        market = odd_market(broker)
        await broker.fault("key_late", "ssh", delay="1s")
        _, body = await broker.rent()
        session_id = body["session"]["id"]
        await eventually(lambda: _has_keys(market, 2))
        session = await broker.session(session_id)
        await market.forget_keys(session["provider_instance_id"])
        session = await broker.until(session_id, "running", "failed")

        assert ("running", 1) == (session["status"], len(session["attempts"]))
        assert len(attached(market)) >= 4


async def test_a_restarted_broker_attaches_the_keys_of_a_machine_that_boots(
    serve_oddly: Serve,
) -> None:
    """Nothing but the row is needed."""
    async with serve_oddly() as broker:
        odd_market(broker).key_troubles = FOR_EVER
        _, body = await broker.rent()
        await eventually(lambda: _has_keys(odd_market(broker), 1))
    async with serve_oddly() as broker:
        session = await broker.until(body["session"]["id"], "running", "failed")

        assert "running" == session["status"]
        consumer, ours = attached(odd_market(broker))[:2]
        assert own(broker) == ours != consumer
        assert "here" == await run(session, body["ssh_private_key"], "echo here")


async def test_an_image_without_ssh_is_served_though_no_key_can_be_attached(
    serve_oddly: Serve,
) -> None:
    """The port was promised, and it is proved at once."""
    async with serve_oddly() as broker:
        odd_market(broker).key_troubles = FOR_EVER
        session = await running(
            broker, launch_mode="entrypoint", docker_image="me/server:1", exposed_ports=[9000]
        )

        assert session["api_endpoint"]
        assert [] == session["known_hosts"]


async def test_an_idle_watch_gets_its_key_back_and_ends_nothing_without_it(
    serve_oddly: Serve,
) -> None:
    """Whatever is not known counts as use."""
    async with serve_oddly() as broker:
        market = odd_market(broker)
        session = await running(broker)
        await market.forget_keys(session["provider_instance_id"])
        told = len(attached(market))
        await watch_idleness(broker, session["id"], timedelta(seconds=12))
        await eventually(lambda: _has_keys(market, told + 2))

        async def idle_since() -> Any:
            return (await broker.session(session["id"]))["idle_since"]

        await eventually(idle_since)
        assert "running" == (await broker.session(session["id"]))["status"]


async def test_a_fresh_key_is_let_in_by_the_provider_before_the_old_one_is_shut_out(
    serve_oddly: Serve,
) -> None:
    """The machine may be told anew at any time: the one holds, the other is forgotten."""
    async with serve_oddly() as broker:
        market = odd_market(broker)
        pair = generate(KeyType.ED25519, "mine")
        session = await running(broker, ssh_public_key=pair.public_line)
        before = len(market.calls)
        status, body = await broker.call("POST", f"/api/v1/sessions/{session['id']}/rekey")
        assert 200 == status, body
        await eventually(lambda: _is_told_of(broker, session["id"], "session.key_detached"))

        (first, fresh), (last, forgotten) = market.calls[before:]
        assert ("attach", "detach") == (first, last)
        assert bare_public_key(pair.public_line) == forgotten != fresh
        keys = await run(session, body["ssh_private_key"], "cat .ssh/authorized_keys")
        assert fresh in keys
        assert forgotten not in keys


async def test_nothing_changes_where_the_provider_does_not_take_a_fresh_key(
    serve_oddly: Serve,
) -> None:
    """The old one goes on working."""
    async with serve_oddly() as broker:
        pair = generate(KeyType.ED25519, "mine")
        session = await running(broker, ssh_public_key=pair.public_line)
        odd_market(broker).key_troubles = 1
        status, body = await broker.call("POST", f"/api/v1/sessions/{session['id']}/rekey")

        assert (409, True) == (status, body["retry_suggested"])
        assert "here" == await run(session, pair.private_pem, "echo here")


async def test_an_old_key_is_forgotten_by_a_broker_that_starts_after_a_crash(
    serve_oddly: Serve,
) -> None:
    """The exchange was recorded, and then the broker was gone."""
    pair = generate(KeyType.ED25519, "old")
    lost = bare_public_key(pair.public_line)
    async with serve_oddly() as broker:
        session = await running(broker)
        market = odd_market(broker)
        await market.attach_key(session["provider_instance_id"], pair.public_line)
        await broker.parts.tools.journal.apply(
            session["id"],
            lambda s, _: upkeep.reissue(s, None, None, s.access, utcnow(), replaced=lost),
        )
    async with serve_oddly() as broker:
        await eventually(lambda: _is_told_of(broker, session["id"], "session.key_detached"))

        assert [("detach", lost)] == odd_market(broker).calls
    async with serve_oddly() as broker:
        await broker.session(session["id"])
        assert [] == odd_market(broker).calls


async def _has_keys(market: OddMarket, least: int) -> bool:
    return len(attached(market)) >= least


async def _is_told_of(broker: Broker, session_id: str, kind: str) -> bool:
    return kind in kinds(await broker.events(session_id))
