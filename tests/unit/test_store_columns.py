"""Instants, durations and money in columns: exact, and comparable where SQL compares them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect

from broker.store.columns import Duration, Instant, Money

SQLITE = sqlite_dialect()
zones = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)
instants = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=zones)  # noqa: DTZ001


def stored(instant: datetime) -> int:
    """What the column holds."""
    value = Instant().process_bind_param(instant, SQLITE)
    assert value is not None
    return value


@given(one=instants, other=instants)
def test_instants_compare_as_stored(one: datetime, other: datetime) -> None:
    """Whatever zone each of them was given in."""
    assert (one < other) == (stored(one) < stored(other))
    assert (one == other) == (stored(one) == stored(other))


@given(instant=instants)
def test_an_instant_comes_back_to_the_microsecond_in_utc(instant: datetime) -> None:
    """The zone is forgotten, the instant is not."""
    back = Instant().process_result_value(stored(instant), SQLITE)
    assert back is not None
    assert (instant, UTC) == (back, back.tzinfo)


def test_an_instant_without_a_zone_is_refused() -> None:
    """It would be a guess."""
    with pytest.raises(ValueError, match="without a time zone"):
        Instant().process_bind_param(datetime(2030, 1, 1), SQLITE)  # noqa: DTZ001


@given(duration=st.timedeltas(timedelta(days=-4000), timedelta(days=4000)))
def test_a_duration_comes_back_to_the_microsecond(duration: timedelta) -> None:
    """Nothing is rounded."""
    kept = Duration().process_bind_param(duration, SQLITE)
    assert duration == Duration().process_result_value(kept, SQLITE)


@given(amount=st.decimals(allow_nan=False, allow_infinity=False))
def test_money_comes_back_digit_for_digit(amount: Decimal) -> None:
    """The zeros at the end too."""
    kept = Money().process_bind_param(amount, SQLITE)
    assert str(amount) == str(Money().process_result_value(kept, SQLITE))


@pytest.mark.parametrize("amount", ["NaN", "Infinity"])
def test_money_that_is_no_number_is_refused(amount: str) -> None:
    """It would poison every sum."""
    with pytest.raises(ValueError, match="finite"):
        Money().process_bind_param(Decimal(amount), SQLITE)
