"""What sessions cost."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.decide.money import (
    Period,
    cost,
    daily,
    day_of,
    days,
    live_costs,
    month_of,
    shown,
    summarise,
)
from broker.model import Accrual, Meter

START = datetime(2026, 1, 30, 22, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def an_accrual(**fields: Any) -> Accrual:
    """A running meter at $0.45 per hour."""
    usual: dict[str, Any] = {
        "session_id": "sess-a",
        "attempt": 1,
        "consumer_id": "me",
        "provider": "vastai",
        "gpu_type": "RTX 4090",
        "price_per_hour": Decimal("0.45"),
        "begins_at": START,
    }
    return Accrual(**{**usual, **fields})


def test_a_session_costs_its_price_times_its_time() -> None:
    """The documentation's example: three hours at $0.45 are $1.35."""
    accrual = an_accrual(ends_at=START + 3 * HOUR)

    assert Decimal("1.35") == cost(accrual, START + 5 * HOUR)


def test_a_running_meter_costs_until_now_and_nothing_before_it_began() -> None:
    """An open accrual ends now; a clock that lags behind gives zero, not less."""
    accrual = an_accrual(price_per_hour=Decimal(1))

    assert Decimal("0.000278") == cost(accrual, START + timedelta(seconds=1))
    assert Decimal(0) == cost(accrual, START)
    assert Decimal(0) == cost(accrual, START - HOUR)


def test_an_end_in_the_future_is_not_charged_yet() -> None:
    """Only time that has passed costs."""
    accrual = an_accrual(ends_at=START + 3 * HOUR)

    assert Decimal("0.45") == cost(accrual, START + HOUR)


def test_nothing_passes_through_a_binary_float() -> None:
    """Ten million hours at a price that no float holds are exact to the micro-dollar."""
    accrual = an_accrual(price_per_hour=Decimal("0.1000001"))

    assert Decimal("1000001.000000") == cost(accrual, START + 10_000_000 * HOUR)


def test_a_summary_tells_sessions_hours_and_where_the_money_went() -> None:
    """Two sessions at two providers, one of them in two attempts."""
    accruals = [
        an_accrual(ends_at=START + HOUR),
        an_accrual(attempt=2, begins_at=START + HOUR, ends_at=START + HOUR * 3 / 2),
        an_accrual(session_id="sess-b", provider="tensordock", gpu_type="A100 SXM4"),
    ]
    summary = summarise(accruals, month_of(date(2026, 1, 1)), START + 2 * HOUR)

    assert summary.total_cost == Decimal("1.575")
    assert summary.session_count == 2
    assert summary.hours_used == Decimal("3.5")
    assert summary.by_provider == {"tensordock": Decimal("0.9"), "vastai": Decimal("0.675")}
    assert summary.by_gpu_type == {"A100 SXM4": Decimal("0.9"), "RTX 4090": Decimal("0.675")}


def test_a_session_that_ran_outside_of_the_period_is_not_counted() -> None:
    """Neither its time nor itself: the end of a period is excluded."""
    before = an_accrual(ends_at=datetime(2026, 2, 1, tzinfo=UTC))
    summary = summarise([before], month_of(date(2026, 2, 10)), START + 999 * HOUR)

    assert (summary.session_count, summary.total_cost, summary.hours_used) == (0, 0, 0)
    assert summary.by_provider == {}


def test_a_month_ends_where_the_next_one_begins() -> None:
    """Also in December and in a leap year."""
    assert month_of(date(2028, 2, 29)) == Period(
        datetime(2028, 2, 1, tzinfo=UTC), datetime(2028, 3, 1, tzinfo=UTC)
    )
    assert month_of(date(2026, 12, 31)).ends_at == datetime(2027, 1, 1, tzinfo=UTC)
    assert day_of(date(2026, 1, 31)).ends_at == datetime(2026, 2, 1, tzinfo=UTC)
    assert days(date(2026, 1, 1), date(2026, 1, 31)) == month_of(date(2026, 1, 15))


def test_a_night_is_split_at_midnight() -> None:
    """Two hours of three are before it; the days around are zeros."""
    accrual = an_accrual(ends_at=START + 3 * HOUR)

    series = daily([accrual], days(date(2026, 1, 29), date(2026, 2, 1)), START + 9 * HOUR)

    assert [day.total_cost for day in series] == [0, Decimal("0.9"), Decimal("0.45"), 0]
    assert [day.session_count for day in series] == [0, 1, 1, 0]
    assert [day.hours_used for day in series] == [0, 2, 1, 0]


def test_live_sessions_cost_what_they_have_cost_and_burn_while_a_machine_may_be_left() -> None:
    """Earlier attempts count as well; a machine burns until it is proved gone."""
    former = an_accrual(ends_at=START + HOUR)
    ending = an_accrual(attempt=2, begins_at=START + HOUR, ends_at=START + 2 * HOUR)
    other = an_accrual(session_id="sess-b", provider="tensordock", price_per_hour=Decimal("0.2"))
    meters = [
        Meter("sess-a", former),
        Meter("sess-a", ending, is_running=True),
        Meter("sess-b", other, is_running=True),
        Meter("sess-c"),
    ]

    live = live_costs(meters, START + 3 * HOUR)

    assert (live.sessions, live.cost) == (3, Decimal("1.5"))
    assert live.burn_per_hour == {"vastai": Decimal("0.45"), "tensordock": Decimal("0.2")}


@pytest.mark.parametrize(
    ("amount", "expected"),
    [("0.0000005", "0"), ("0.0000015", "0.000002"), ("1.2345678", "1.234568")],
)
def test_money_is_shown_with_six_decimals(amount: str, expected: str) -> None:
    """Half a micro-dollar goes to the even neighbour."""
    assert shown(Decimal(amount)) == Decimal(expected)


JANUARY, MARCH = date(2026, 1, 1), date(2026, 3, 31)
QUARTER = days(JANUARY, MARCH)

prices = st.decimals(min_value=0, max_value=400, places=9, allow_nan=False, allow_infinity=False)
instants = st.datetimes(datetime(2026, 1, 1), datetime(2026, 3, 31), timezones=st.just(UTC))  # noqa: DTZ001
durations = st.one_of(
    st.timedeltas(timedelta(0), timedelta(hours=13)),
    st.timedeltas(timedelta(0), timedelta(days=40)),
)
accruals = st.lists(
    st.builds(
        lambda session, price, begin, duration, is_open, provider, gpu_type: an_accrual(
            session_id=session,
            consumer_id=f"consumer of {session}",
            price_per_hour=price,
            begins_at=begin,
            ends_at=None if is_open else begin + duration,
            provider=provider,
            gpu_type=gpu_type,
        ),
        st.sampled_from(["sess-a", "sess-b", "sess-c"]),
        prices,
        instants,
        durations,
        st.booleans(),
        st.sampled_from(["vastai", "tensordock"]),
        st.sampled_from(["RTX 4090", "A100 SXM4"]),
    ),
    max_size=6,
)


@given(accruals, instants)
def test_however_the_same_time_is_cut_the_parts_add_up_to_the_same_micro_dollar(
    billed: list[Accrual], now: datetime
) -> None:
    """By session, day, month, consumer, provider and GPU; and it is the true cost."""
    total = summarise(billed, QUARTER, now).total_cost
    by_session: dict[str, Decimal] = defaultdict(Decimal)
    for accrual in billed:
        by_session[accrual.session_id] += cost(accrual, now)
    consumers = {accrual.consumer_id for accrual in billed}
    months = [month_of(date(2026, month, 1)) for month in (1, 2, 3)]
    cuts = {
        "sessions": by_session.values(),
        "days": [day.total_cost for day in daily(billed, QUARTER, now)],
        "months": [summarise(billed, month, now).total_cost for month in months],
        "consumers": [
            summarise([a for a in billed if a.consumer_id == one], QUARTER, now).total_cost
            for one in consumers
        ],
        "providers": summarise(billed, QUARTER, now).by_provider.values(),
        "gpus": summarise(billed, QUARTER, now).by_gpu_type.values(),
    }

    assert {name: sum(parts) for name, parts in cuts.items()} == dict.fromkeys(cuts, total)
    assert abs(Fraction(total) - _true_cost(billed, now)) <= Fraction(len(billed), 2_000_000)


@given(accruals, instants)
def test_a_series_of_days_is_the_summary_of_each_day(billed: list[Accrual], now: datetime) -> None:
    """Every day has its row, also one that has cost nothing or is still to come."""
    february = month_of(date(2026, 2, 1))
    each_day = [day_of(date(2026, 2, day)) for day in range(1, 29)]

    assert daily(billed, february, now) == [summarise(billed, day, now) for day in each_day]


def _true_cost(billed: list[Accrual], now: datetime) -> Fraction:
    """In exact rationals."""
    total = Fraction(0)
    for accrual in billed:
        end = min(accrual.ends_at or now, now)
        microseconds = max(timedelta(0), end - accrual.begins_at) // timedelta(microseconds=1)
        total += Fraction(accrual.price_per_hour) * microseconds / 3_600_000_000
    return total
