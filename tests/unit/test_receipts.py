"""The receipt of an ended session."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.decide import moves
from broker.decide.money import cost
from broker.decide.receipts import Observed, SessionReceipt, receipt_of
from broker.errors import Conflict
from broker.model import Accrual, Attempt, Outcome, Overview, Reason, Session, Status, Witness
from tests.builders import LATER, NOW, PROOF, STOPPING, VERIFIED, a_session, an_attempt

SECOND = timedelta(seconds=1)
STOPPED = replace(STOPPING, status=Status.STOPPED, due_at=NOW, stopped_at=LATER)
REFUSED = an_attempt(n=1, outcome=Outcome.REFUSED, reason=Reason.OFFER_GONE, ended_at=NOW)


def accrual(n: int, price: Decimal, begins: timedelta, lasts: timedelta) -> Accrual:
    """A stretch of the meter of the `n`th attempt."""
    begins_at = NOW + begins
    return Accrual(
        session_id=STOPPED.id,
        attempt=n,
        consumer_id="somebody",
        provider="simulator",
        gpu_type="RTX 4090",
        price_per_hour=price,
        begins_at=begins_at,
        ends_at=begins_at + lasts,
    )


def over(session: Session, *attempts: Attempt) -> SessionReceipt:
    """The receipt of a session that cost nothing."""
    return receipt_of(Overview(session, attempts, ()), LATER)


def ended(attempt: Attempt) -> Attempt:
    """An attempt whose machine is proved gone."""
    after = moves.gone(STOPPING, attempt, PROOF, LATER).attempt
    assert after is not None
    return after


@pytest.mark.parametrize("status", sorted({*Status} - {Status.STOPPED, Status.FAILED}))
def test_a_session_that_is_not_over_has_no_receipt(status: Status) -> None:
    """The refusal says when there will be one."""
    with pytest.raises(Conflict, match="when its status is stopped or failed"):
        over(a_session(status=status), VERIFIED)


def test_a_receipt_tells_the_two_observations() -> None:
    """Those of the last machine stand for the session."""
    receipt = over(STOPPED, ended(VERIFIED))
    assert receipt.last is not None
    assert receipt.last.was_made
    assert receipt.last.observations == (
        Observed(PROOF.first.at, Witness.LOOKUP),
        Observed(LATER, Witness.LIST),
    )
    assert LATER - NOW == receipt.reap_delay


def test_the_end_of_a_failed_session_was_due_when_its_machine_failed() -> None:
    """Not when the session gave up, which is after the proof."""
    failed = replace(STOPPED, status=Status.FAILED, due_at=LATER)
    receipt = over(failed, ended(replace(VERIFIED, due_at=NOW)), replace(REFUSED, n=2))
    assert NOW == receipt.due_at
    assert LATER - NOW == receipt.reap_delay


def test_an_end_that_was_proved_before_observations_were_kept_tells_what_is_known() -> None:
    """Nothing is invented."""
    receipt = over(STOPPED, replace(VERIFIED, gone_at=LATER))
    assert receipt.last is not None
    assert (Observed(LATER, None),) == receipt.last.observations


def test_an_attempt_without_a_machine_says_so() -> None:
    """And the proof of the session is that of the machine which there was."""
    made = ended(replace(VERIFIED, n=2))
    refused_last = replace(REFUSED, n=3)
    receipt = over(STOPPED, REFUSED, made, refused_last)

    assert [False, True, False] == [machine.was_made for machine in receipt.machines]
    assert [(), ()] == [receipt.machines[n].observations for n in (0, 2)]
    assert receipt.machines[1] is receipt.last


def test_a_session_that_never_had_a_machine_waited_for_none() -> None:
    """There is nothing to prove."""
    receipt = over(replace(STOPPED, status=Status.FAILED), REFUSED)
    assert (None, None, Decimal(0)) == (receipt.last, receipt.reap_delay, receipt.billed)


def test_an_end_that_was_due_only_after_the_proof_was_not_late() -> None:
    """The wall clock was set back in between."""
    receipt = over(replace(STOPPED, due_at=LATER + SECOND), ended(VERIFIED))
    assert timedelta(0) == receipt.reap_delay


PRICES = st.decimals("0.000001", "50", places=6)
SPANS = st.timedeltas(timedelta(0), timedelta(hours=13))
STRETCHES = st.tuples(st.integers(1, 3), PRICES, SPANS, SPANS)


@given(st.lists(STRETCHES, max_size=9))
def test_the_machines_add_up_to_the_session(
    stretches: list[tuple[int, Decimal, timedelta, timedelta]],
) -> None:
    """To the micro-dollar and the microsecond, whatever was billed when and at which price."""
    accruals = tuple(accrual(*stretch) for stretch in stretches)
    attempts = tuple(replace(ended(VERIFIED), n=n) for n in (1, 2, 3))
    later = NOW + timedelta(days=2)
    receipt = receipt_of(Overview(STOPPED, attempts, accruals), later)

    accrued = sum((cost(one, later) for one in accruals), Decimal(0))
    assert accrued == sum((one.billed for one in receipt.machines), Decimal(0)) == receipt.billed
    assert receipt.billed_for == sum((lasts for *_, lasts in stretches), timedelta(0))


def test_a_clock_that_was_set_back_makes_no_negative_bill() -> None:
    """Then nothing is known of how long the machine was billed, and nothing is shown."""
    set_back = accrual(VERIFIED.n, Decimal(1), 60 * SECOND, -50 * SECOND)
    receipt = receipt_of(Overview(STOPPED, (ended(VERIFIED),), (set_back,)), LATER)

    assert (timedelta(0), Decimal(0)) == (receipt.billed_for, receipt.billed)
