"""Misfortunes of machines on their way up, each met by a whole session over HTTP."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tests.service.conftest import Broker, Serve
from tests.service.scenarios import (
    FOR_EVER,
    assert_sound,
    ended,
    kinds,
    market,
    metric,
    offers,
    run,
    running,
    warm_up,
)
from tests.waiting import eventually

BROKEN_DRIVER = (
    "printf '#!/bin/sh\\necho NVIDIA-SMI has failed\\nexit 9\\n' >\"$HOME/../bin/nvidia-smi\""
)


@dataclass(frozen=True)
class Case:
    """A misfortune of a machine."""

    fault: str
    operation: str
    delay: str | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """Beside the word and the operation."""
        return {"delay": self.delay} if self.delay else {}


async def launched(broker: Broker, cases: list[Case]) -> list[str]:
    """A session for each misfortune, each on an offer of its own; their ids in this order."""
    chosen = await offers(broker, len(cases), gpu_type="RTX%204090")
    for case, offer in zip(cases, chosen, strict=True):
        await broker.fault(case.fault, case.operation, offer_id=offer["id"], **case.fields)
    answers = await asyncio.gather(*(broker.rent(offer_id=offer["id"]) for offer in chosen))
    assert [201] * len(cases) == [status for status, _ in answers]
    return [body["session"]["id"] for _, body in answers]


async def test_machines_that_are_late_run_in_the_end(broker: Broker) -> None:
    """Slow boots, refused connections and keys that are not accepted yet are "not yet"."""
    cases = [
        Case("slow", "boot", "700ms"),
        Case("refused", "ssh", "700ms"),
        Case("key_late", "ssh", "700ms"),
        Case("slow", "ssh", "300ms"),
    ]
    for case, session_id in zip(cases, await launched(broker, cases), strict=True):
        session = await broker.until(session_id, "running", "failed")
        assert ("running", 1) == (session["status"], len(session["attempts"])), (case, session)
        proof = next(e for e in await broker.events(session_id) if e["type"] == "session.running")
        assert "RTX 4090" in proof["data"]["gpus"][0]["name"]
    await assert_sound(broker, machines=len(cases))
    _, body = await broker.call("GET", "/api/v1/sessions")
    ids = [session["id"] for session in body["sessions"]]
    await asyncio.gather(*(broker.call("DELETE", f"/api/v1/sessions/{one}") for one in ids))
    await assert_sound(broker)


async def test_every_machine_that_never_serves_fails_for_a_reason_of_its_own(
    serve: Serve,
) -> None:
    """The deadline of the attempt ends what does not come up, and the cause is told."""
    expected = {
        Case("never_boots", "boot"): (
            "boot_timeout",
            "Not ready within 2 s. The provider calls the machine starting",
        ),
        Case("error", "boot"): ("boot_failed", "could not start the machine"),
        Case("dies", "boot", "0s"): ("boot_failed", "calls the machine offline"),
        Case("refused", "ssh"): ("ssh_timeout", "nothing listens at the SSH port"),
        Case("key_late", "ssh", "1h"): ("ssh_timeout", "does not accept the key"),
        Case("wrong_gpu", "boot"): ("wrong_gpu", "GTX 1070"),
    }
    async with serve(ssh__verify_timeout="2s") as broker:
        await warm_up(broker)
        ids = await launched(broker, list(expected))
        for (case, (reason, words)), session_id in zip(expected.items(), ids, strict=True):
            session = await ended(broker, session_id)
            assert ("failed", reason) == (session["status"], session["status_reason"]), case
            assert words in session["error"], case
            assert [("failed", reason)] == [
                (one["outcome"], one["reason"]) for one in session["attempts"]
            ]
            assert kinds(await broker.events(session_id))[-4:] == [
                *("attempt.failed", "instance.destroy_accepted"),
                *("instance.gone", "session.failed"),
            ]
        failures = await metric(broker, "gpu_ssh_verify_failures_total")
        assert len(expected) == failures
        _, health = await broker.call("GET", "/api/v1/offer-health")
        assert len(expected) == len(health["offers"])
        assert all(one["passed_over_until"] for one in health["offers"])
        await assert_sound(broker)


async def test_a_driver_that_fails_is_given_time_and_then_is_the_wrong_gpu(serve: Serve) -> None:
    """The tool's own words are the cause."""
    async with serve(ssh__verify_timeout="2s") as broker:
        await warm_up(broker)
        await broker.fault("key_late", "ssh", delay="400ms")
        _, body = await broker.rent(on_start_cmd=BROKEN_DRIVER)
        session = await ended(broker, body["session"]["id"])

        assert ("failed", "wrong_gpu") == (session["status"], session["status_reason"])
        assert "NVIDIA-SMI has failed" in session["error"]
        await assert_sound(broker)


async def test_a_driver_that_comes_up_late_is_no_failure(broker: Broker) -> None:
    """A driver that is still being set up may fail for a while."""
    late = f'cp "$HOME/../bin/nvidia-smi" "$HOME/driver"; {BROKEN_DRIVER}; '
    late += 'touch "$HOME/broken"; sleep 1; cp "$HOME/driver" "$HOME/../bin/nvidia-smi"'
    await broker.fault("key_late", "ssh", delay="400ms")
    session = await running(broker, on_start_cmd=late)

    assert 1 == len(session["attempts"])
    await broker.call("DELETE", f"/api/v1/sessions/{session['id']}")
    await assert_sound(broker)


async def test_the_next_machine_is_rented_when_the_last_one_is_proved_gone(
    broker: Broker,
) -> None:
    """A machine that is not what was sold is replaced; two are never alive at the same time.

    The key of the answer opens the one that stays.
    """
    await broker.fault("wrong_gpu", "boot", times=2)
    _, body = await broker.rent(auto_retry=True)
    session = await broker.until(body["session"]["id"], "running", "failed")

    tried = [(one["outcome"], one["reason"]) for one in session["attempts"]]
    assert [("failed", "wrong_gpu")] * 2 + [("running", None)] == tried
    bills = await market(broker).statement(broker.parts.tools.now())
    assert all(
        first.ends_at is not None and first.ends_at <= second.begins_at
        for first, second in pairwise(bills)
    )
    assert session["provider_instance_id"] == session["attempts"][2]["instance_id"]
    assert "in" == await run(session, body["ssh_private_key"], "echo in")
    await assert_sound(broker, machines=1)
    await broker.call("DELETE", f"/api/v1/sessions/{session['id']}")
    await assert_sound(broker)


async def test_a_session_may_wait_for_its_machine_as_long_as_it_asked_for(serve: Serve) -> None:
    """`ssh_timeout_minutes` stands in for the setting, and the deadline is one number."""
    async with serve(ssh__verify_timeout="300ms") as broker:
        await broker.fault("slow", "boot", delay="900ms")
        session = await running(broker, ssh_timeout_minutes=1)

        _, attempt = await broker.parts.tools.journal.read(session["id"])
        assert attempt.accepted_at is not None
        assert attempt.deadline_at is not None
        assert 60 == (attempt.deadline_at - attempt.accepted_at).total_seconds()
        await broker.call("DELETE", f"/api/v1/sessions/{session['id']}")
        await assert_sound(broker)


async def test_a_machine_that_dies_ends_its_session_as_lost(broker: Broker) -> None:
    """It ran, went offline for long enough, and what was left of it was destroyed."""
    await warm_up(broker)
    await broker.fault("dies", "boot", delay="1s")
    session = await running(broker)
    session = await ended(broker, session["id"])

    assert ("failed", "instance_lost") == (session["status"], session["status_reason"])
    assert "offline" in session["error"]
    assert [("failed", "instance_lost")] == [
        (one["outcome"], one["reason"]) for one in session["attempts"]
    ]
    told = kinds(await broker.events(session["id"]))
    assert "session.machine_missing" in told
    assert told[-4:] == [
        *("session.lost", "instance.destroy_accepted", "instance.gone", "session.failed")
    ]
    assert 0 == await metric(broker, "gpu_ghosts_detected_total")
    await assert_sound(broker)


async def test_a_list_that_fails_while_a_machine_boots_is_the_cause_at_its_deadline(
    serve: Serve,
) -> None:
    """Nothing is known, so nothing ends early; and the machine is destroyed without a list."""
    async with serve(ssh__verify_timeout="900ms") as broker:
        (offer,) = await offers(broker, 1)
        await broker.fault("slow", "create", delay="200ms")
        renting = asyncio.create_task(broker.rent(offer_id=offer["id"]))
        await broker.fault("error", "list", times=FOR_EVER)
        _, body = await renting
        session = await ended(broker, body["session"]["id"])

        assert ("failed", "boot_timeout") == (session["status"], session["status_reason"])
        assert "list could not be read" in session["error"]
        await assert_sound(broker)


async def test_a_proof_that_comes_after_the_deletion_changes_nothing(broker: Broker) -> None:
    """A login that is under way when the session is deleted does not make it run.

    Nor does the machine that is missing then let another one be rented.
    """
    await broker.fault("slow", "ssh", delay="1s")
    _, body = await broker.rent(auto_retry=True)

    async def is_logging_in() -> bool:
        return "attempt.located" in kinds(await broker.events(body["session"]["id"]))

    await eventually(is_logging_in)
    status, _ = await broker.call("DELETE", f"/api/v1/sessions/{body['session']['id']}")
    session = await broker.session(body["session"]["id"])
    assert (200, "stopped", None) == (status, session["status"], session["running_at"])
    assert 1 == len(await market(broker).statement(broker.parts.tools.now()))
    await assert_sound(broker)


async def test_an_image_that_brings_no_ssh_runs_when_its_port_answers(broker: Broker) -> None:
    """The published port is what was promised."""
    await broker.fault("refused", "ssh")
    session = await running(broker, launch_mode="entrypoint", docker_image="me/server:1")

    proof = next(e for e in await broker.events(session["id"]) if e["type"] == "session.running")
    assert ("http", []) == (proof["data"]["proof"], session["known_hosts"])
    await broker.call("DELETE", f"/api/v1/sessions/{session['id']}")
    await assert_sound(broker)


async def test_a_port_that_never_answers_fails_for_a_reason_of_its_own(serve: Serve) -> None:
    """The machine came up, and what was promised did not."""
    settings = {"ssh__verify_timeout": "500ms", "providers__simulator__ssh": False}
    async with serve(**settings) as broker:
        _, body = await broker.rent(launch_mode="entrypoint", docker_image="me/server:1")
        session = await ended(broker, body["session"]["id"])

        assert ("failed", "endpoint_timeout") == (session["status"], session["status_reason"])
        assert "Nothing answers HTTP" in session["error"]
        await assert_sound(broker)
