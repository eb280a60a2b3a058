"""Durations and percentages: read as people write them, shown so that they read back."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.config.quantities import (
    parse_duration,
    parse_percent,
    present_duration,
    present_percent,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("30s", 30),
        ("5m", 300),
        ("2h", 7200),
        ("1h30m", 5400),
        ("0s", 0),
        ("0", 0),
        ("1.5s", 1.5),
        (" 1s ", 1),
    ],
)
def test_durations_are_read_as_people_write_them(text: str, seconds: float) -> None:
    """Units, sums and fractions; zero needs no unit."""
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "s", "5 m", "5d", "1h-30m", "1m1", "5S", "٣s", "1_0s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """A guess about a time that costs money is never made."""
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=4000)))
def test_a_shown_duration_reads_back_as_the_same(duration: timedelta) -> None:
    """Showing and reading are inverse."""
    assert parse_duration(present_duration(duration)) == duration


@given(st.decimals(min_value=0, max_value=10, places=6))
def test_a_shown_percentage_reads_back_as_the_same(fraction: Decimal) -> None:
    """Showing and reading are inverse."""
    assert parse_percent(present_percent(fraction)) == fraction


@pytest.mark.parametrize("text", ["5", "0.05", "-1%", "%", "5%%", "five"])
def test_what_is_no_percentage_is_refused(text: str) -> None:
    """0.05 and 5 may both mean 5 %: nobody guesses."""
    with pytest.raises(ValueError, match="is not a percentage"):
        parse_percent(text)
