"""Machines that the provider makes and that never work: each for a reason of its own."""

from __future__ import annotations

from itertools import pairwise

import pytest

from providers.base import BootFailure
from tests.service.conftest import Serve
from tests.service.odd_market import odd_market, serve_oddly
from tests.service.scenarios import (
    assert_sound,
    ended,
    kinds,
    metric,
    only_session,
    running,
)

__all__ = ["serve_oddly"]


@pytest.mark.parametrize(
    ("failure", "reason", "words"),
    [
        (None, "boot_failed", "could not start the machine"),
        (BootFailure.HOST, "boot_failed", "could not start the machine"),
        (BootFailure.GPU_RUNTIME, "gpu_runtime_broken", "cannot give its GPUs"),
        (BootFailure.IMAGE, "image_unavailable", "The image nobody/nothing:1 cannot be had"),
    ],
)
async def test_what_is_wrong_with_a_machine_is_told_by_a_word_of_its_own(
    serve_oddly: Serve, failure: BootFailure | None, reason: str, words: str
) -> None:
    """As far as the provider tells it; a host that fails is remembered, an image is not its."""
    async with serve_oddly() as broker:
        odd_market(broker).failure = failure
        await broker.fault("error", "boot")
        _, body = await broker.rent(docker_image="nobody/nothing:1")
        session = await ended(broker, body["session"]["id"])

        assert ("failed", reason) == (session["status"], session["status_reason"])
        assert words in session["error"]
        _, health = await broker.call("GET", "/api/v1/offer-health")
        remembered = [] if failure is BootFailure.IMAGE else [(session["offer_id"], reason)]
        assert remembered == [(one["offer_id"], one["last_reason"]) for one in health["offers"]]
        await assert_sound(broker)


async def test_another_offer_is_tried_after_a_broken_host_and_not_after_a_broken_image(
    serve_oddly: Serve,
) -> None:
    """The image is the consumer's: it would be missing everywhere."""
    async with serve_oddly() as broker:
        odd_market(broker).failure = BootFailure.GPU_RUNTIME
        await broker.fault("error", "boot")
        first = await running(broker, auto_retry=True)
        assert [("failed", "gpu_runtime_broken"), ("running", None)] == [
            (one["outcome"], one["reason"]) for one in first["attempts"]
        ]

        odd_market(broker).failure = BootFailure.IMAGE
        await broker.fault("error", "boot")
        _, body = await broker.rent(auto_retry=True)
        second = await ended(broker, body["session"]["id"])
        assert ["image_unavailable"] == [one["reason"] for one in second["attempts"]]


async def test_a_machine_that_is_born_dead_is_a_refusal_once_it_is_proved_gone(
    serve_oddly: Serve,
) -> None:
    """The answer waits for the proof, and the machine is billed as the provider bills it."""
    async with serve_oddly() as broker:
        odd_market(broker).stillborn = 1
        status, body = await broker.rent(key="once")

        assert (502, "provider_error") == (status, body["code"])
        session = await only_session(broker)
        assert ("failed", "boot_failed") == (session["status"], session["status_reason"])
        assert session["attempts"][0]["instance_id"]
        assert [
            *("session.created", "session.provisioning", "attempt.accepted", "attempt.failed"),
            *("instance.destroy_accepted", "instance.gone", "session.failed"),
        ] == kinds(await broker.events(session["id"]))
        assert 1 == await metric(broker, "gpu_ssh_verify_failures_total")
        again, repeated = await broker.rent(key="once")
        assert (status, body["code"]) == (again, repeated["code"])
        await assert_sound(broker)


async def test_the_next_machine_follows_one_that_was_born_dead(serve_oddly: Serve) -> None:
    """As soon as that is gone; the consumer is told of the one that lives."""
    async with serve_oddly() as broker:
        market = odd_market(broker)
        market.stillborn = 2
        status, body = await broker.rent(auto_retry=True)
        assert (201, 2) == (status, body["retries_attempted"])
        session = await broker.until(body["session"]["id"], "running", "failed")

        assert [("failed", "boot_failed")] * 2 + [("running", None)] == [
            (one["outcome"], one["reason"]) for one in session["attempts"]
        ]
        bills = await market.statement(broker.parts.tools.now())
        assert all(
            first.ends_at is not None and first.ends_at <= second.begins_at
            for first, second in pairwise(bills)
        )
        await assert_sound(broker, machines=1)


async def test_a_machine_born_dead_that_cannot_be_destroyed_yet_keeps_the_answer_open(
    serve_oddly: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer says that it may still fail; nothing is called failed while it may exist."""
    monkeypatch.setattr("broker.usecases.opening.CREATE_PATIENCE", 0.3)
    async with serve_oddly() as broker:
        odd_market(broker).stillborn = 1
        await broker.fault("error", "destroy", times=2)
        status, body = await broker.rent()

        assert (201, "provisioning") == (status, body["session"]["status"])
        assert ["outcome_unknown"] == [one["code"] for one in body["warnings"]]
        assert "does not start" in body["warnings"][0]["message"]
        session = await ended(broker, body["session"]["id"])
        assert ("failed", "boot_failed") == (session["status"], session["status_reason"])
        await assert_sound(broker)
