"""The broker's clock: the time of the wall, its jumps, and a steady time beside it."""

from __future__ import annotations

from datetime import datetime, timedelta

from broker.clock import Clock, utcnow
from tests.builders import NOW

HOUR = timedelta(hours=1)


class Hands:
    """Two clocks that a test sets, and what was told of their jumps."""

    def __init__(self) -> None:
        self.wall = NOW
        self.passed = 100.0
        self.told: list[tuple[timedelta, datetime]] = []
        self.clock = Clock(lambda: self.wall, lambda: self.passed)
        self.clock.listen(self)

    def pass_by(self, seconds: float, jump: timedelta = timedelta()) -> None:
        """Let time pass, and the wall clock jump besides."""
        self.passed += seconds
        self.wall += timedelta(seconds=seconds) + jump

    def clock_jumped(self, by: timedelta, now: datetime) -> None:
        self.told.append((by, now))


def test_the_time_is_that_of_the_wall() -> None:
    """Also after a jump: what is promised until an instant is promised by it."""
    hands = Hands()
    assert NOW == hands.clock.now()
    hands.pass_by(60, HOUR)
    assert NOW + HOUR + timedelta(minutes=1) == hands.clock.now()


def test_whoever_reads_the_clock_has_its_jumps_told_first() -> None:
    """Each once, forward and back."""
    hands = Hands()
    hands.pass_by(60)
    hands.clock.now()
    assert [] == hands.told

    for by in (HOUR, -2 * HOUR):
        hands.pass_by(1, by)
        assert (by, hands.clock.now()) == hands.told[-1]
        hands.clock.now()
    assert 2 == len(hands.told)


def test_the_steady_time_goes_on_as_if_nothing_had_happened() -> None:
    """It begins with the time of the wall."""
    hands = Hands()
    assert NOW == hands.clock.steady()
    hands.pass_by(60, HOUR)
    assert NOW + timedelta(minutes=1) == hands.clock.steady()


def test_the_wall_clock_of_this_computer_tells_the_time_in_utc() -> None:
    """Every instant has its zone."""
    assert timedelta() == utcnow().utcoffset()
