"""How `bench.chaos` judges: when what must have been done, by which clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bench.storm.clocks import BrokerClock, Shift
from bench.storm.troubles import Trouble, latest

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """So long after noon."""
    return NOON + timedelta(seconds=seconds)


def judged(due: float, *troubles: tuple[float, float | None]) -> datetime | None:
    """Until when something was to be done: within 2 s, or 3 s after the last trouble."""
    broken = [
        Trouble("down", at(begin), ends=None if end is None else at(end)) for begin, end in troubles
    ]
    return latest(at(due), broken, bound=timedelta(seconds=2), recovery=timedelta(seconds=3))


@pytest.mark.parametrize(
    ("troubles", "by"),
    [
        pytest.param((), 12, id="none"),
        pytest.param(((0, 9),), 12, id="over before it is due"),
        pytest.param(((0, 11),), 14, id="over soon after it is due"),
        pytest.param(((11, 20),), 23, id="begins in time"),
        pytest.param(((12.5, 20),), 12, id="begins too late"),
        pytest.param(((11, 20), (22, 30)), 33, id="one after the other"),
        pytest.param(((11, 20), (24, 30)), 23, id="a calm between"),
    ],
)
def test_what_is_due_is_done_in_time_or_after_the_recovery(
    troubles: tuple[tuple[float, float], ...], by: float
) -> None:
    """Troubles excuse only while they last, and a calm that is long enough ends all excuses."""
    assert judged(10, *troubles) == at(by)


def test_a_trouble_that_lasts_excuses_for_ever() -> None:
    """What never works again has no bound."""
    assert judged(10, (11, None)) is None


def test_a_clock_that_jumps_back_ends_what_it_had_made_past() -> None:
    """Each stretch in which an instant was past stands for itself."""
    shifts = [
        Shift(at(0), timedelta()),
        Shift(at(10), timedelta(seconds=60)),
        Shift(at(20), timedelta(seconds=5)),
    ]
    clock = BrokerClock(shifts, at(100))

    assert list(clock.past(at(50), at(0))) == [(at(10), at(20)), (at(45), at(100))]
    assert clock.first_past(at(50), at(30)) == at(45)
    assert clock.first_past(at(300), at(0)) is None


def test_what_was_written_down_is_as_late_as_the_clock_allows() -> None:
    """A clock that jumped back has shown the same time twice."""
    shifts = [Shift(at(0), timedelta(seconds=60)), Shift(at(20), timedelta(seconds=30))]

    assert BrokerClock(shifts, at(100)).written_at(at(70), at(0)) == at(40)
