"""The broker's clock: the time of the wall, its jumps, and a steady time beside it."""

from __future__ import annotations

from datetime import datetime, timedelta

from broker.clock import Clock, slept, utcnow
from broker.decide.jumps import Jump
from tests.builders import NOW

HOUR = timedelta(hours=1)


class Hands:
    """Two clocks that a test sets, and what was told of their jumps."""

    def __init__(self) -> None:
        self.wall = NOW
        self.passed = 100.0
        self.slept = 7.0
        self.told: list[tuple[Jump, datetime]] = []
        self.clock = Clock(lambda: self.wall, lambda: self.passed, lambda: self.slept)
        self.clock.listen(self)

    def pass_by(self, seconds: float, jump: timedelta = timedelta()) -> None:
        """Let time pass, and the wall clock jump besides."""
        self.passed += seconds
        self.wall += timedelta(seconds=seconds) + jump

    def sleep(self, span: timedelta) -> None:
        """Let the computer sleep."""
        self.slept += span.total_seconds()
        self.wall += span

    def clock_jumped(self, jump: Jump, now: datetime) -> None:
        self.told.append((jump, now))


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
        assert (Jump(by, set_by=by), hands.clock.now()) == hands.told[-1]
        hands.clock.now()
    assert 2 == len(hands.told)


def test_a_computer_that_sleeps_has_set_no_clock() -> None:
    """What the clock was set beside its sleep is told apart from it."""
    hands = Hands()
    hands.sleep(HOUR)
    hands.clock.now()
    hands.sleep(HOUR)
    hands.pass_by(1, -2 * HOUR)
    hands.clock.now()
    assert [Jump(HOUR, timedelta()), Jump(-HOUR, -2 * HOUR)] == [jump for jump, _ in hands.told]


def test_what_happened_before_a_jump_is_dated_by_the_clock_after_it() -> None:
    """It lies as far back as it does."""
    hands = Hands()
    happened = hands.clock.steady()
    for jump in (HOUR, -3 * HOUR):
        hands.pass_by(60, jump)
    assert hands.wall - timedelta(minutes=2) == hands.clock.dated(happened)


def test_the_steady_time_goes_on_as_if_nothing_had_happened() -> None:
    """It begins with the time of the wall."""
    hands = Hands()
    assert NOW == hands.clock.steady()
    hands.pass_by(60, HOUR)
    assert NOW + timedelta(minutes=1) == hands.clock.steady()


def test_this_computer_does_not_sleep_while_it_is_asked() -> None:
    """Its own clocks tell how long it has slept."""
    before = slept()
    assert abs(slept() - before) < 0.5


def test_the_wall_clock_of_this_computer_tells_the_time_in_utc() -> None:
    """Every instant has its zone."""
    assert timedelta() == utcnow().utcoffset()
