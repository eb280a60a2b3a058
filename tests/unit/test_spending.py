"""What all sessions have cost, followed through their changes."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.decide import moves
from broker.decide.money import cost
from broker.decide.spending import Spending
from broker.effects import Effect
from broker.model import Accrual, Change, Session, Status
from tests.builders import (
    MADE,
    NOW,
    PROOF,
    PROVISIONING,
    STOPPING,
    TIMEOUT,
    VERIFIED,
    a_proof,
    a_session,
    an_attempt,
    an_instance,
)

HOUR = timedelta(hours=1)
WITHIN_A_DAY = st.timedeltas(timedelta(0), 24 * HOUR)


def test_history_and_changes_lead_to_the_same_sum() -> None:
    """Whether a session ended before this process began or in it, and whatever began then."""
    made = moves.accept(PROVISIONING, an_attempt(), an_instance(), NOW, TIMEOUT)
    gone = moves.gone(STOPPING, MADE, a_proof(NOW + HOUR), NOW + HOUR)
    assert made.accrual is not None
    assert gone.accrual is not None
    past = replace(gone.accrual, session_id="sess-past", provider="other")
    from_history = Spending([past, gone.accrual])
    restarted = Spending([past, made.accrual], live=[PROVISIONING.id])
    restarted.note(gone, gone.session)

    expected = {"simulator": Decimal("0.36"), "other": Decimal("0.36")}
    assert expected == from_history.until(NOW + 9 * HOUR)
    assert expected == restarted.until(NOW + 9 * HOUR)


def test_a_live_session_costs_until_now() -> None:
    """From the acceptance of its machine on."""
    spending = Spending()
    change = moves.accept(PROVISIONING, an_attempt(), an_instance(), NOW, TIMEOUT)
    spending.note(change, change.session)

    assert [Decimal("0.36"), Decimal("0.72")] == [
        spending.until(NOW + hours * HOUR)["simulator"] for hours in (1, 2)
    ]


def test_the_sum_never_falls_where_the_proof_comes_after_the_acceptance() -> None:
    """What passes between them is not billed, and was not counted either."""
    spending = Spending()
    accepted = moves.destroying(STOPPING, VERIFIED, NOW + HOUR)
    assert accepted.attempt is not None
    spending.note(accepted, accepted.session)
    before = spending.until(NOW + 2 * HOUR)
    gone = moves.gone(STOPPING, accepted.attempt, PROOF, NOW + 3 * HOUR)
    spending.note(gone, gone.session)

    assert {"simulator": Decimal("0.36")} == before == spending.until(NOW + 4 * HOUR)


def test_the_sum_never_falls_where_a_machine_is_cheaper_than_its_offer() -> None:
    """It stands still until time has caught up."""
    spending = Spending()
    made = moves.accept(PROVISIONING, an_attempt(), an_instance(), NOW, TIMEOUT)
    spending.note(made, made.session)
    before = spending.until(NOW + HOUR)
    cheaper = moves.reprice(PROVISIONING, MADE, Decimal("0.18"), NOW + HOUR)
    spending.note(cheaper, cheaper.session)

    assert before == spending.until(NOW + HOUR) == spending.until(NOW + 2 * HOUR)
    assert Decimal("0.54") == spending.until(NOW + 3 * HOUR)["simulator"]


@pytest.mark.parametrize("by", [HOUR, -HOUR])
def test_a_clock_that_is_set_changes_no_sum(by: timedelta) -> None:
    """Live sessions cost what they cost, whatever is written of them later, and past ones too."""
    made = moves.accept(PROVISIONING, an_attempt(), an_instance(), NOW, TIMEOUT)
    assert made.accrual is not None
    past = replace(made.accrual, session_id="sess-past", ends_at=NOW + 5 * HOUR)
    spending = Spending([past, made.accrual], live=[PROVISIONING.id])
    before = spending.until(NOW + 2 * HOUR)
    spending.move(by)
    assert before == spending.until(NOW + 2 * HOUR + by)

    ended = moves.destroying(STOPPING, MADE, NOW + 2 * HOUR + by)
    spending.note(ended, ended.session)
    assert before == spending.until(NOW + 9 * HOUR)


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b"]), WITHIN_A_DAY, WITHIN_A_DAY, st.booleans()),
        max_size=12,
    )
)
def test_the_sum_is_that_of_all_accruals(
    lives: list[tuple[str, timedelta, timedelta, bool]],
) -> None:
    """To the last micro-dollar, however many have ended."""
    spending = Spending()
    everything = []
    for n, (provider, begin, duration, is_over) in enumerate(lives):
        accrual = _accrual(n, provider, begin, duration if is_over else None)
        everything.append(accrual)
        spending.note(*_changed(accrual))
    now = NOW + 30 * HOUR
    expected: dict[str, Decimal] = defaultdict(Decimal)
    for accrual in everything:
        expected[accrual.provider] += cost(accrual, max(now, accrual.ends_at or now))

    assert expected == spending.until(now)


def _accrual(n: int, provider: str, begin: timedelta, duration: timedelta | None) -> Accrual:
    begins_at = NOW + begin
    return Accrual(
        session_id=f"sess-{n}",
        attempt=1,
        consumer_id="somebody",
        provider=provider,
        gpu_type="RTX 4090",
        price_per_hour=Decimal("0.333"),
        begins_at=begins_at,
        ends_at=None if duration is None else begins_at + duration,
    )


def _changed(accrual: Accrual) -> tuple[Change, Session]:
    """The change that writes `accrual`, and its session after it: final where it is closed."""
    status = STOPPING.status if accrual.ends_at is None else Status.STOPPED
    session = a_session(id=accrual.session_id, status=status)
    return Change(Effect.EXTEND, session, accrual=accrual), session
