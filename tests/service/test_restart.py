"""A broker that starts again on its folder: nothing is lost, and nothing is rented twice."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import aiohttp
import pytest

from broker.app import listening
from broker.clock import utcnow
from broker.decide import moves
from broker.decide.lease import grant_lease
from broker.decide.plain import plain
from broker.model import Attempt, Change, Confidential, KeyType, Reason, Session
from broker.ssh.connection import SshPool
from broker.ssh.errors import NotYet
from broker.ssh.keys import generate
from broker.ssh.probe import VERIFY_COMMAND
from broker.usecases.launch import first_attempt
from providers.base import Endpoint, Instance, LaunchSpec
from tests.builders import a_request, a_session
from tests.service.conftest import UNHURRIED, Broker, Serve, eventually
from tests.service.scenarios import (
    FOR_EVER,
    assert_sound,
    ended,
    kinds,
    market,
    only_session,
    running,
)


async def bills(broker: Broker) -> int:
    """How many machines were ever rented."""
    return len(await market(broker).statement(utcnow()))


async def delete(broker: Broker, session_id: str) -> None:
    """End a session, and hear that it is proved."""
    status, _ = await broker.call("DELETE", f"/api/v1/sessions/{session_id}")
    assert 200 == status


async def can_log_in(endpoint: Endpoint, private_key: str, known_hosts: Sequence[str] = ()) -> bool:
    """Whether the machine lets this key in by now, and is the one whose host key was pinned."""
    pool = SshPool(1)
    try:
        result = await pool.run(
            endpoint,
            "root",
            private_key,
            VERIFY_COMMAND,
            host_keys=tuple(known_hosts),
            timeout=timedelta(seconds=20),
        )
    except NotYet:
        return False
    finally:
        pool.close()
    return result.exit_code == 0


async def admits(session: Any, private_key: str) -> bool:
    """Whether the machine of a session lets its consumer in by now."""
    endpoint = Endpoint(session["ssh_host"], session["ssh_port"])
    return await can_log_in(endpoint, private_key, session["known_hosts"])


async def recorded(broker: Broker) -> tuple[Session, Attempt]:
    """A session that is written down, and whose provider nobody has called yet."""
    tools = broker.parts.tools
    await tools.inventory.ready()
    offer = tools.inventory.listed()[0].offer
    now = utcnow()
    granted = grant_lease(now, timedelta(hours=1), timedelta(hours=12))
    session = a_session(
        request=a_request(offer_id=offer.id),
        created_at=now,
        expires_at=granted.expires_at,
        hard_max_at=granted.hard_max_at,
        label_deadline=granted.label_deadline,
        public_key=generate(KeyType.ED25519, "somebody").public_line,
        offer=offer,
        price_per_hour=offer.price_per_hour,
    )
    attempt = first_attempt(session, tools.rules)
    return await tools.journal.add(moves.record(session, attempt), Confidential()), attempt


async def sent(broker: Broker, session: Session) -> None:
    """Write that the creating call goes out, as it is written just before a crash."""
    await broker.parts.tools.journal.apply(session.id, lambda s, a: moves.launch(s, a, utcnow()))


async def made(broker: Broker, session: Session, attempt: Attempt) -> Instance:
    """The machine that the call makes."""
    keys = (session.public_key, broker.parts.tools.keyring.own.public_line)
    return await market(broker).create(LaunchSpec(attempt.offer, attempt.label, keys))


async def answering(broker: Broker, instance: Instance) -> None:
    """Wait until a machine lets the broker in."""
    own_key = broker.parts.tools.keyring.own.private_pem

    async def is_up() -> bool:
        now = await market(broker).get(instance.id)
        return bool(now.ssh) and await can_log_in(now.ssh[0], own_key)

    await eventually(is_up)


async def test_a_running_session_survives_a_restart(serve: Serve) -> None:
    """The same machine answers the same key at the same address, and is paid for all the time."""
    async with serve() as broker:
        status, body = await broker.rent()
        assert 201 == status
        before = await broker.until(body["session"]["id"], "running", "failed")
        assert "running" == before["status"]
    async with serve() as broker:
        after = await broker.session(before["id"])
        for name in ("status", "ssh_host", "ssh_port", "known_hosts", "expires_at", "attempts"):
            assert before[name] == after[name]
        assert before["accrued_cost"] < after["accrued_cost"]
        machine = before["provider_instance_id"]
        assert [machine] == [one.id for one in await market(broker).list_instances()]
        await eventually(partial(admits, after, body["ssh_private_key"]))
        await assert_sound(broker, machines=1)
        await delete(broker, before["id"])
        await assert_sound(broker)
        assert 1 == await bills(broker)


async def test_a_machine_that_boots_over_a_restart_is_verified_with_what_is_left(
    serve: Serve,
) -> None:
    """The consumer's key is gone from memory: the broker's own proves it, or the host's answer."""
    async with serve(ssh__verify_timeout="1h") as broker:
        await broker.fault("key_late", "ssh", delay="3500ms", times=2)
        (_, managed), (_, unmanaged) = await asyncio.gather(
            broker.rent(consumer_id="managed"),
            broker.rent(consumer_id="unmanaged", managed_access=False),
        )
        assert ["verification_limited"] == [one["code"] for one in unmanaged["warnings"]]
        deadlines = [await _deadline(broker, one) for one in (managed, unmanaged)]
    async with serve(ssh__verify_timeout="1s") as broker:
        for body, proof in ((managed, "ssh"), (unmanaged, "banner")):
            session = await broker.until(body["session"]["id"], "running", "failed")
            assert ("running", 1) == (session["status"], len(session["attempts"])), session
            events = await broker.events(session["id"])
            assert proof == events[-1]["data"]["proof"]
            await eventually(partial(admits, session, body["ssh_private_key"]))
        assert deadlines == [await _deadline(broker, one) for one in (managed, unmanaged)]
        assert 2 == await bills(broker)
        for body in (managed, unmanaged):
            await delete(broker, body["session"]["id"])
        await assert_sound(broker)


async def test_the_deadline_of_an_attempt_runs_on_over_a_restart(serve: Serve) -> None:
    """A machine that never boots costs no more for the broker's restart."""
    async with serve(ssh__verify_timeout="1500ms") as broker:
        await broker.fault("never_boots", "boot")
        _, body = await broker.rent()
    async with serve(ssh__verify_timeout="1h") as broker:
        session = await ended(broker, body["session"]["id"])

        assert ("failed", "boot_timeout") == (session["status"], session["status_reason"])
        assert "Not ready within 1.5 s." in session["error"]
        await assert_sound(broker)


async def test_a_machine_that_came_up_while_nobody_looked_gets_one_try(serve: Serve) -> None:
    """A deadline that passed while the broker was down is no reason to destroy what works."""
    async with serve(**UNHURRIED) as broker:
        session, attempt = await recorded(broker)
        await sent(broker, session)
        instance = await made(broker, session, attempt)
        await answering(broker, instance)
        await broker.parts.tools.journal.apply(
            session.id, lambda s, a: moves.accept(s, a, instance, utcnow(), timedelta(0))
        )
        await broker.call("POST", "/api/v1/sweep?dry_run=false")
        shown = await broker.until(session.id, "running", "failed")

        assert "running" == shown["status"], shown["error"]
        await delete(broker, session.id)
        await assert_sound(broker)


async def test_a_destruction_is_finished_after_a_restart(serve: Serve) -> None:
    """What was asked for before is done, and its reason stays."""
    async with serve() as broker:
        session = await running(broker)
        await broker.fault("error", "destroy", times=FOR_EVER)
        await broker.call("POST", f"/api/v1/sessions/{session['id']}/done")
    async with serve() as broker:
        session = await ended(broker, session["id"])

        assert ("stopped", "done") == (session["status"], session["status_reason"])
        await assert_sound(broker)


async def test_the_next_attempt_begins_after_a_restart(serve: Serve) -> None:
    """The failed machine is destroyed first, and only then another one is rented."""
    async with serve() as broker:
        await broker.fault("wrong_gpu", "boot")
        await broker.fault("error", "destroy", times=FOR_EVER)
        _, body = await broker.rent(auto_retry=True)
        session_id = body["session"]["id"]

        async def has_failed() -> bool:
            return "instance.destroy_failed" in kinds(await broker.events(session_id))

        await eventually(has_failed)
    async with serve() as broker:
        session = await broker.until(session_id, "running", "failed")
        assert ("running", 2) == (session["status"], len(session["attempts"]))
        assert "wrong_gpu" == session["attempts"][0]["reason"]
        await assert_sound(broker, machines=1)
        await delete(broker, session_id)
        await assert_sound(broker)
        assert 2 == await bills(broker)


async def test_a_market_that_fails_at_the_start_costs_no_session(serve: Serve) -> None:
    """What ran runs on, what was on its way comes up, what was ending is destroyed.

    No answer is no knowledge: nothing is ended, forgotten or rented again because of it.
    """
    async with serve() as broker:
        ran, ending = await asyncio.gather(
            running(broker, consumer_id="ran"), running(broker, consumer_id="ending")
        )
        await broker.fault("error", "destroy", times=FOR_EVER)
        await broker.call("POST", f"/api/v1/sessions/{ending['id']}/done")
        await broker.fault("slow", "boot", delay="1s")
        _, boots = await broker.rent(consumer_id="boots")
        await broker.fault("error", "list", times=FOR_EVER)
        await broker.fault("reply_lost", "create")
        _, unknown = await broker.rent(consumer_id="unknown")
    failing = {"list": 8, "get": 3, "destroy": 2}
    faults = [
        {"fault": "error", "operation": operation, "times": times}
        for operation, times in failing.items()
    ]
    async with serve(providers__simulator__faults=faults) as broker:
        for body in (boots, unknown):
            session = await broker.until(body["session"]["id"], "running", "failed")
            assert ("running", 1) == (session["status"], len(session["attempts"]))
        over = await ended(broker, ending["id"])
        assert ("stopped", "done") == (over["status"], over["status_reason"])
        assert "running" == (await broker.session(ran["id"]))["status"]
        await assert_sound(broker, machines=3)
        assert 4 == await bills(broker)


async def test_a_lease_that_ended_meanwhile_is_over_at_the_start(serve: Serve) -> None:
    """The end was due at its instant, not at the restart."""
    async with serve(**UNHURRIED) as broker:
        session = await running(broker)
        due_at = utcnow()
        await broker.parts.tools.journal.apply(
            session["id"], lambda s, _: Change("move", replace(s, expires_at=due_at))
        )
    async with serve(**UNHURRIED) as broker:
        session = await ended(broker, session["id"])

        assert ("stopped", "expired") == (session["status"], session["status_reason"])
        events = {event["type"]: event["data"] for event in await broker.events(session["id"])}
        assert plain(due_at) == events["session.stopping"]["due_at"]
        await assert_sound(broker)


async def test_an_attempt_that_was_recorded_and_never_sent_is_sent(serve: Serve) -> None:
    """One machine is rented, for the label that was written before."""
    async with serve(**UNHURRIED) as broker:
        session, attempt = await recorded(broker)
        assert 0 == await bills(broker)
    async with serve() as broker:
        shown = await broker.until(session.id, "running", "failed")
        assert ("running", 1) == (shown["status"], len(shown["attempts"]))
        assert [attempt.label] == [one.label for one in await market(broker).list_instances()]
        await delete(broker, session.id)
        await assert_sound(broker)


async def test_an_attempt_that_was_never_sent_and_is_not_wanted_is_closed(serve: Serve) -> None:
    """No machine is rented for a session that is over."""
    async with serve(**UNHURRIED) as broker:
        session, _ = await recorded(broker)
        now = utcnow()
        await broker.parts.tools.journal.apply(
            session.id, lambda s, _: moves.end(s, Reason.DELETED, now, now)
        )
    async with serve() as broker:
        shown = await ended(broker, session.id)
        assert ("stopped", "deleted") == (shown["status"], shown["status_reason"])
        assert 0 == await bills(broker)
        await assert_sound(broker)


async def test_a_machine_whose_reply_never_arrived_is_found_after_a_restart(serve: Serve) -> None:
    """It is billed from its making, and no second one is rented."""
    async with serve(**UNHURRIED) as broker:
        session, attempt = await recorded(broker)
        await sent(broker, session)
        await made(broker, session, attempt)
    async with serve() as broker:
        shown = await broker.until(session.id, "running", "failed")
        assert ("running", 1) == (shown["status"], len(shown["attempts"]))
        await assert_sound(broker, machines=1)
        await delete(broker, session.id)
        await assert_sound(broker)
        assert 1 == await bills(broker)


async def test_a_stop_in_the_middle_of_a_creation_loses_no_machine(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request is cut; the machine that it made is found, and no second one is rented."""
    monkeypatch.setattr(listening, "IN_FLIGHT_PATIENCE", 0.1)
    async with serve() as broker:
        create = market(broker).create
        is_made = asyncio.Event()

        async def hang(spec: LaunchSpec) -> None:
            await create(spec)
            is_made.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(market(broker), "create", hang)
        renting = asyncio.create_task(broker.rent())
        await is_made.wait()
    with pytest.raises(aiohttp.ClientError):
        await renting
    async with serve() as broker:
        session = await only_session(broker)
        session = await broker.until(session["id"], "running", "failed")
        assert ("running", 1) == (session["status"], len(session["attempts"]))
        await delete(broker, session["id"])
        await assert_sound(broker)
        assert 1 == await bills(broker)


async def test_a_machine_without_the_consumers_key_is_not_handed_over(serve: Serve) -> None:
    """After a restart the broker's own key gets in, and looks for the consumer's."""
    async with serve(**UNHURRIED) as broker:
        session, attempt = await recorded(broker)
        await sent(broker, session)
        own = broker.parts.tools.keyring.own
        instance = await market(broker).create(
            LaunchSpec(attempt.offer, attempt.label, (own.public_line,))
        )
        await answering(broker, instance)
        await broker.parts.tools.journal.apply(
            session.id, lambda s, a: moves.accept(s, a, instance, utcnow(), timedelta(0))
        )
        await broker.call("POST", "/api/v1/sweep?dry_run=false")
        shown = await ended(broker, session.id)

        assert ("failed", "ssh_timeout") == (shown["status"], shown["status_reason"])
        assert "The consumer's key is not on the machine yet." in shown["error"]
        await assert_sound(broker)


async def test_a_creation_that_had_no_effect_is_not_repeated_after_a_restart(
    serve: Serve,
) -> None:
    """Whether it had one cannot be told: the session fails, and a late arrival is buried."""
    async with serve(**UNHURRIED) as broker:
        session, _ = await recorded(broker)
        await sent(broker, session)
    async with serve() as broker:
        shown = await ended(broker, session.id)
        assert ("failed", "outcome_unknown") == (shown["status"], shown["status_reason"])
        assert 0 == await bills(broker)
        await assert_sound(broker)


async def _deadline(broker: Broker, body: Any) -> object:
    _, attempt = await broker.parts.tools.journal.read(body["session"]["id"])
    return attempt.deadline_at
