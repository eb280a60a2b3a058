"""Why a machine that was made is given up."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from broker.decide import moves
from broker.decide.boot import Wrong, judge_failure, judge_price, said_of
from broker.model import Criteria, Reason
from providers.base import BootFailure, InstanceStatus
from tests.builders import LATER, PROVISIONING, SENT, an_instance

FAILED = an_instance(status=InstanceStatus.FAILED, detail="no such manifest.")


@pytest.mark.parametrize(
    ("failure", "reason", "detail"),
    [
        (None, Reason.BOOT_FAILED, "The provider could not start the machine: no such manifest."),
        (
            BootFailure.HOST,
            Reason.BOOT_FAILED,
            "The provider could not start the machine: no such manifest.",
        ),
        (
            BootFailure.GPU_RUNTIME,
            Reason.GPU_RUNTIME_BROKEN,
            "The host cannot give its GPUs to machines: no such manifest.",
        ),
        (
            BootFailure.IMAGE,
            Reason.IMAGE_UNAVAILABLE,
            "The image me/x:1 cannot be had: no such manifest. No other offer would help.",
        ),
    ],
)
def test_every_failure_has_its_word_and_its_sentence(
    failure: BootFailure | None, reason: Reason, detail: str
) -> None:
    """With the provider's own words."""
    session = replace(PROVISIONING, image="me/x:1")

    assert Wrong(reason, detail) == judge_failure(session, replace(FAILED, failure=failure))


def test_a_provider_without_words_leaves_a_whole_sentence() -> None:
    """Nothing is invented."""
    assert "." == said_of(replace(FAILED, detail=" "))
    failed = replace(FAILED, failure=BootFailure.IMAGE, detail="")
    assert "The image cannot be had. No other offer would help." == (
        judge_failure(PROVISIONING, failed).detail
    )


@pytest.mark.parametrize(
    ("price", "is_wrong"), [(None, False), ("0.36", False), ("0.378", False), ("0.379", True)]
)
def test_a_price_above_the_tolerance_is_wrong(price: str | None, is_wrong: bool) -> None:
    """An unknown one is not."""
    instance = an_instance(price_per_hour=Decimal(price) if price else None)
    wrong = judge_price(PROVISIONING, SENT, instance, Decimal("0.05"))

    assert is_wrong == (wrong is not None and wrong.reason is Reason.PRICE_CHANGED)


@pytest.mark.parametrize(
    ("price", "is_wrong"), [("0.36", False), ("0.3607", False), ("0.3611", True), ("0.37", True)]
)
def test_no_tolerance_lifts_the_price_that_a_consumer_named(price: str, is_wrong: bool) -> None:
    """Whoever says $0.36 at most pays no more; how it was rounded is no matter."""
    criteria = Criteria(gpu_type="RTX 4090", max_price=Decimal("0.36"))
    request = replace(PROVISIONING.request, offer_id=None, criteria=criteria)
    session = replace(PROVISIONING, request=request)
    instance = an_instance(price_per_hour=Decimal(price))
    wrong = judge_price(session, SENT, instance, Decimal("0.05"))

    assert is_wrong == (wrong is not None and wrong.reason is Reason.PRICE_CHANGED)
    if wrong is not None:
        assert wrong.detail.endswith("and you said $0.360000/h at most.")


def test_a_machine_born_dead_is_recorded_and_to_be_destroyed_in_one_change() -> None:
    """It is billed, nothing is expected of it, and its host is remembered."""
    wrong = Wrong(Reason.BOOT_FAILED, "It does not start.")
    change = moves.accept_failed(PROVISIONING, SENT, FAILED, wrong, LATER)

    assert change.attempt is not None
    made = change.attempt
    assert ("i-1", None, None) == (made.instance_id, made.unknown_since, made.deadline_at)
    assert (wrong.reason, wrong.detail) == (made.reason, made.detail)
    assert "i-1" == change.session.instance_id
    assert ["attempt.accepted", "attempt.failed"] == [event.type for event in change.events]
    assert change.accrual is not None
    assert change.accrual.ends_at is None
    assert change.failure is not None
    assert ("m1001", Reason.BOOT_FAILED) == (change.failure.machine_id, change.failure.reason)
    assert SENT.started_at <= change.accrual.begins_at <= LATER + timedelta(0)
