"""Jumps of the wall clock: when there was one, and how long things last in spite of it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from broker.decide.jumps import Glance, begun_steadily, jump_between
from tests.builders import NOW

SECOND = timedelta(seconds=1)


def after(moved: float, begun: float, ended: float | None = None) -> timedelta:
    """The jump between a glance at second 10 and one at `begun`, the wall clock moved so far."""
    later = Glance(NOW + timedelta(seconds=moved), begun, begun if ended is None else ended)
    jump = jump_between(Glance(NOW, 10.0, 10.0), later)
    assert jump.by == jump.set_by
    return jump.by


@pytest.mark.parametrize(
    ("moved", "begun", "by"),
    [
        (5.0, 15.0, 0),
        (0.0, 10.0, 0),
        (5.4, 15.0, 0),
        (4.6, 15.0, 0),
        (3605.0, 15.0, 3600),
        (-3595.0, 15.0, -3600),
        (6.0, 15.0, 1),
        (-3600.0, 10.0, -3600),
    ],
)
def test_a_jump_is_what_the_wall_clock_went_beyond_the_time_that_passed(
    moved: float, begun: float, by: float
) -> None:
    """Forward and back; small corrections are none."""
    assert timedelta(seconds=by) == after(moved, begun)


def test_a_process_that_was_stopped_at_a_glance_sees_no_jump() -> None:
    """It cannot tell whether the wall clock was read before its stop or after it."""
    assert timedelta() == after(0.0, 10.0, 70.0)
    assert timedelta() == after(60.0, 10.0, 70.0)
    assert timedelta(seconds=3540) == after(3600.0, 10.0, 70.0)
    assert timedelta(seconds=-60) == after(-60.0, 10.0, 70.0)


def test_what_lasts_goes_by_the_records_once_and_by_the_steady_clock_from_then_on() -> None:
    """A jump between two looks makes nothing older or younger."""
    begun = {"old": NOW - 60 * SECOND, "new": NOW}
    first = begun_steadily({}, begun, NOW, NOW)
    assert {"old": NOW - 60 * SECOND, "new": NOW} == first

    for jumped in (NOW + timedelta(hours=1), NOW - timedelta(hours=1)):
        assert first == begun_steadily(first, begun, jumped, NOW + 30 * SECOND)


def test_what_is_over_is_forgotten_and_what_the_records_date_in_the_future_begins_now() -> None:
    """Whatever happens again begins anew."""
    assert {} == begun_steadily({"gone": NOW}, {}, NOW, NOW)
    assert {"odd": NOW} == begun_steadily({}, {"odd": NOW + timedelta(hours=1)}, NOW, NOW)
