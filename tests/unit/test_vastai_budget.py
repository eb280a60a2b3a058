"""How many searches may be made on Vast.ai."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from providers.vastai.budget import BURST, Budget
from tests.unit.vastai_rows import NOW


def spent(budget: Budget, count: int, now: datetime) -> Budget:
    """The budget after so many searches at one instant."""
    for _ in range(count):
        budget = budget.spend(now)
    return budget


def test_a_new_budget_has_saved_up_all_it_can() -> None:
    """The first reading may walk far."""
    assert Budget(2_000).left(NOW) == BURST
    assert Budget(2_000, burst=3).left(NOW) == 3


def test_a_spent_search_comes_back_evenly_over_the_day() -> None:
    """The 24th part of the day's searches in an hour, and never more than can be saved."""
    budget = spent(Budget(per_day=240, burst=20), 20, NOW)

    assert budget.left(NOW) == 0
    assert budget.left(NOW + timedelta(minutes=5)) == 0
    assert budget.left(NOW + timedelta(minutes=6, seconds=1)) == 1
    assert budget.left(NOW + timedelta(hours=1, seconds=1)) == 10
    assert budget.left(NOW + timedelta(days=9)) == 20


def test_a_search_beyond_the_budget_is_no_debt() -> None:
    """Whoever searches all the same does not close the market for hours."""
    budget = spent(Budget(per_day=240, burst=2), 50, NOW)

    assert budget.left(NOW + timedelta(minutes=13)) == 2


def test_an_exceeded_quota_closes_the_market_until_it_begins_anew() -> None:
    """What was saved up does not help."""
    budget = Budget(2_000).close(NOW + timedelta(hours=8))

    assert (budget.is_closed(NOW), budget.left(NOW)) == (True, 0)
    assert budget.left(NOW + timedelta(hours=8)) == BURST
    assert not budget.is_closed(NOW + timedelta(hours=8))


def test_a_clock_that_goes_back_frees_nothing() -> None:
    """Nor does it take anything away."""
    budget = spent(Budget(2_000), 10, NOW)

    assert budget.left(NOW - timedelta(hours=1)) == BURST - 10


@given(pauses=st.lists(st.integers(0, 3000), max_size=400))
def test_no_day_sees_more_searches_than_its_number_and_what_was_saved(pauses: list[int]) -> None:
    """However the searches are spread."""
    budget, now, made = Budget(per_day=100, burst=10), NOW, 0
    for pause in pauses:
        now += timedelta(seconds=pause)
        if now < NOW + timedelta(days=1) and budget.left(now) > 0:
            budget, made = budget.spend(now), made + 1

    assert made <= 110
