"""Is anybody using the machine? What is not known is use; only lasting idleness ends a session."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.decide.idle import (
    CLAIM_JITTER,
    KEPT_READINGS,
    LEAST_READINGS,
    IdleState,
    Reading,
    Source,
    Verdict,
    is_idle,
    observe,
    probe_interval,
    verdict,
)

START = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)
THRESHOLD = timedelta(minutes=10)
GAP = timedelta(minutes=3)


def at(minutes: float) -> datetime:
    """An instant after the start."""
    return START + timedelta(minutes=minutes)


def probe(minutes: float, gpu_util: float | None = 0.0, users: int | None = 0) -> Reading:
    """What a probe saw: nothing at all, unless said otherwise."""
    return Reading(at(minutes), Source.PROBE, gpu_util=gpu_util, users=users)


def heartbeat(minutes: float, idle_minutes: float | None, gpu_util: float | None = None) -> Reading:
    """What the machine says of itself."""
    idle_for = None if idle_minutes is None else timedelta(minutes=idle_minutes)
    return Reading(at(minutes), Source.HEARTBEAT, gpu_util=gpu_util, idle_for=idle_for)


def after(readings: Iterable[Reading], state: IdleState | None = None) -> IdleState:
    """The state after these readings."""
    state = state or IdleState()
    for reading in readings:
        state = observe(state, reading, longest_gap=GAP)
    return state


def judged(readings: list[Reading]) -> Verdict:
    """The verdict at the last of these readings."""
    return verdict(after(readings), THRESHOLD, readings[-1].at)


class TestOneReading:
    """What one testimony says."""

    @pytest.mark.parametrize(
        ("reading", "says"),
        [
            (probe(0), True),
            (probe(0, gpu_util=4.9), True),
            (probe(0, gpu_util=5.0), False),
            (probe(0, users=1), False),
            (probe(0, gpu_util=None, users=1), False),
            (probe(0, gpu_util=80, users=None), False),
            (probe(0, gpu_util=None), None),
            (probe(0, users=None), None),
            (heartbeat(0, 3), True),
            (heartbeat(0, 3, gpu_util=1), True),
            (heartbeat(0, 3, gpu_util=50), False),
            (heartbeat(0, 0), False),
            (heartbeat(0, None), None),
            (heartbeat(0, None, gpu_util=0), None),
        ],
    )
    def test_it_says_idle_used_or_nothing(self, reading: Reading, says: bool | None) -> None:
        """Idle needs everything known and quiet; one sign of use is enough for use."""
        assert is_idle(reading) is says


class TestVerdict:
    """Idleness over time."""

    def test_idleness_for_the_whole_threshold_is_idle(self) -> None:
        """The ordinary end."""
        assert judged([probe(n) for n in range(11)]) == Verdict(
            is_idle=True,
            since=at(0),
            evidence=judged([probe(n) for n in range(6, 11)]).evidence,
        )

    def test_a_moment_less_is_not(self) -> None:
        """Nobody is thrown out early."""
        assert not judged([*(probe(n) for n in range(10)), probe(9.99)]).is_idle

    @pytest.mark.parametrize(
        "sign",
        [
            probe(5, gpu_util=100),
            probe(5, users=1),
            probe(5, gpu_util=None),
            probe(5, users=None),
            probe(5, gpu_util=None, users=None),
            heartbeat(5, 0),
            heartbeat(5, None),
        ],
    )
    def test_one_sign_of_use_or_one_unknown_begins_anew(self, sign: Reading) -> None:
        """What is not known counts as use."""
        readings = [*(probe(n) for n in range(5)), sign, *(probe(n) for n in range(6, 16))]
        assert not judged(readings).is_idle
        assert judged(readings).since == at(6)
        assert judged([*readings, probe(16)]).is_idle

    def test_several_readings_are_needed(self) -> None:
        """A single heartbeat that claims hours proves nothing."""
        readings = [heartbeat(n / 10, 600) for n in range(LEAST_READINGS)]
        assert [judged(readings[: n + 1]).is_idle for n in range(3)] == [False, False, True]

    def test_time_that_nobody_has_looked_at_does_not_count(self) -> None:
        """Since the last reading somebody may have come."""
        state = after(probe(n) for n in range(10))
        assert not verdict(state, THRESHOLD, at(10.5)).is_idle
        assert verdict(after([probe(10.5)], state), THRESHOLD, at(10.5)).is_idle

    def test_a_gap_forgets_what_was_before_it(self) -> None:
        """After the broker was down, nobody is ended for the silence."""
        state = after([*(probe(n) for n in range(5)), probe(60), probe(61), probe(62)])
        assert state.since == at(60)
        assert not verdict(state, THRESHOLD, at(62)).is_idle
        assert [reading.at for reading in state.readings] == [at(60), at(61), at(62)]

    def test_nothing_read_is_not_idle(self) -> None:
        """No evidence, no end."""
        assert verdict(IdleState(), timedelta(0), at(0)) == Verdict(False, None, ())

    @given(
        st.lists(
            st.tuples(
                st.floats(0, 3.1),
                st.sampled_from([0.0] * 30 + [50.0, None]),
                st.sampled_from([0] * 30 + [1, None]),
            ),
            min_size=10,
            max_size=40,
        )
    )
    def test_whoever_is_called_idle_was_seen_idle_all_along(
        self, steps: list[tuple[float, float | None, int | None]]
    ) -> None:
        """Whatever the readings: no use, no unknown and no gap within the threshold."""
        readings, minute = [], 0.0
        for pause, gpu_util, users in steps:
            minute += pause
            readings.append(probe(minute, gpu_util, users))
        if not readings or not judged(readings).is_idle:
            return
        last = readings[-1].at
        recent = [reading for reading in readings if last - reading.at < THRESHOLD]
        earlier = readings[len(readings) - len(recent) - 1]
        chain = [earlier, *recent]
        assert all(is_idle(reading) for reading in chain)
        assert all(b.at - a.at <= GAP for a, b in pairwise(chain))


class TestHeartbeat:
    """What the machine says of itself."""

    def test_its_word_reaches_back(self) -> None:
        """It knows since when nothing happened."""
        assert after([heartbeat(10, 8)]).since == at(2)

    def test_its_word_does_not_reach_back_to_where_use_was_seen(self) -> None:
        """A broken agent must not end a session at work."""
        readings = [probe(0, gpu_util=90), heartbeat(1, 600), heartbeat(2, 600), heartbeat(3, 600)]
        assert after(readings).since == at(0)
        assert not judged(readings).is_idle

    def test_its_word_tells_of_use_between_readings(self) -> None:
        """Probes see nothing of work on the CPU."""
        assert after([probe(0), probe(1), probe(2), heartbeat(3, 0.5)]).since == at(2.5)

    def test_probes_leave_it_standing(self) -> None:
        """They know less."""
        assert after([heartbeat(10, 8), probe(11)]).since == at(2)

    def test_small_differences_change_nothing(self) -> None:
        """Clocks and whole seconds: the session's idle_since must not dance."""
        late = CLAIM_JITTER.total_seconds() / 60 * 0.9
        assert after([heartbeat(10, 8), heartbeat(11, 9 - late)]).since == at(2)

    def test_an_absurd_claim_is_not_a_mistake_of_ours(self) -> None:
        """It comes from outside."""
        claim = Reading(at(0), Source.HEARTBEAT, idle_for=timedelta.max)
        assert after([claim]).since is not None


class TestEvidence:
    """What the event of the end says."""

    def test_it_is_the_newest_readings_as_json_has_them(self) -> None:
        """People read in the events why their session ended."""
        evidence = judged([probe(0, users=None), heartbeat(1, 0.5, gpu_util=2.5)]).evidence
        assert json.loads(json.dumps(evidence)) == [
            {"at": "2026-03-14T12:00:00.000Z", "source": "probe", "gpu_util": 0.0, "users": None},
            {
                "at": "2026-03-14T12:01:00.000Z",
                "source": "heartbeat",
                "gpu_util": 2.5,
                "idle_seconds": 30.0,
            },
        ]

    def test_it_is_bounded(self) -> None:
        """A session may be watched for days."""
        state = after(probe(n) for n in range(1000))
        assert len(state.readings) == KEPT_READINGS


class TestProbeInterval:
    """How often to look."""

    @pytest.mark.parametrize(
        ("threshold", "check", "interval"),
        [(60, 5, 10), (3600, 5, 60), (6, 5, 5), (600, 90, 90), (0.6, 0.05, 0.1)],
    )
    def test_it_is_a_sixth_of_the_threshold_within_bounds(
        self, threshold: float, check: float, interval: float
    ) -> None:
        """Often enough for several readings, and never a burden."""
        result = probe_interval(timedelta(seconds=threshold), timedelta(seconds=check))
        assert result == timedelta(seconds=interval)
