"""Lives that are led as told: each of them a meeting that chance brings about only now and then."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from broker.model import Outcome, Overview, Reason, RetryScope, Status
from providers.simulator.faults import Fault, Operation, Word
from tests.lifecycle.course import Course

pytestmark = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
"""Whoever dies just before a call has prepared it."""

A_WHILE = timedelta(minutes=4)
"""So long that lists are compared four times, and shorter than the grace of an orphan."""
SHORTLY = timedelta(seconds=10)


@pytest.fixture
def life() -> Iterator[Course]:
    """One that has not begun."""
    course = Course()
    try:
        yield course
    finally:
        course.close()


def _session(life: Course) -> Overview:
    """The only one."""
    (seen,) = life.look().overviews
    return seen


def _alive(life: Course) -> int:
    """How many machines of ours cost money."""
    scene = life.look()
    return sum(scene.is_alive(machine) for machine in scene.ours)


@pytest.mark.parametrize("proves_directly", [True, False])
def test_lists_that_fail_end_no_session(life: Course, proves_directly: bool) -> None:
    """What they would have told is unknown, however often they fail."""
    life.begin(proves_directly=proves_directly)
    life.open(then=SHORTLY)
    life.tempt(luck=[Fault(Word.ERROR, Operation.LIST, 30)], then=A_WHILE)
    assert _session(life).session.status is Status.RUNNING
    assert _alive(life) == 1


@pytest.mark.parametrize("proves_directly", [True, False])
def test_lists_that_fail_end_no_boot(life: Course, proves_directly: bool) -> None:
    """A machine that nobody can see is not gone."""
    life.begin(proves_directly=proves_directly)
    life.open(
        luck=[Fault(Word.SLOW, Operation.BOOT, delay=timedelta(seconds=20))],
        then=timedelta(seconds=5),
    )
    life.tempt(luck=[Fault(Word.PARTIAL, Operation.LIST, 5)], then=A_WHILE)
    assert _session(life).session.status is Status.RUNNING


@pytest.mark.parametrize("proves_directly", [True, False])
def test_a_marketplace_that_is_down_proves_no_end(life: Course, proves_directly: bool) -> None:
    """The session stays on its way down until somebody says that its machine is gone."""
    life.begin(proves_directly=proves_directly)
    life.open(then=SHORTLY)
    life.outage()
    life.end(then=A_WHILE)
    assert _session(life).session.status is Status.STOPPING
    life.recover(then=A_WHILE)
    assert _session(life).session.status is Status.STOPPED


@pytest.mark.parametrize("proves_directly", [True, False])
def test_a_failed_list_is_no_observation(life: Course, proves_directly: bool) -> None:
    """The machine is gone, and two answers still have to say so."""
    life.begin(proves_directly=proves_directly)
    life.open(then=SHORTLY)
    life.end(luck=[Fault(Word.ERROR, Operation.LIST, 2)], then=A_WHILE)
    assert _session(life).session.status is Status.STOPPED


def test_a_creation_without_an_answer_is_not_given_up_while_no_list_comes(life: Course) -> None:
    """Its machine is found when the lists are back."""
    life.begin()
    life.tempt(luck=[Fault(Word.ERROR, Operation.LIST, 4)])
    life.open(luck=[Fault(Word.REPLY_LOST, Operation.CREATE)], then=A_WHILE)
    assert [one.outcome for one in _session(life).attempts] == [Outcome.RUNNING]
    assert _alive(life) == 1


@pytest.mark.parametrize("word", [Word.IGNORED, Word.LATE_EFFECT, Word.REPLY_LOST])
@pytest.mark.parametrize("proves_directly", [True, False])
def test_an_end_that_was_accepted_is_not_yet_one(
    life: Course, proves_directly: bool, word: Word
) -> None:
    """It is one when the machine is seen to be gone."""
    life.begin(proves_directly=proves_directly)
    life.open(then=SHORTLY)
    late = timedelta(seconds=20)
    life.end(luck=[Fault(word, Operation.DESTROY, delay=late)], then=timedelta(seconds=0.5))
    life.pass_by(then=A_WHILE)
    assert _session(life).session.status is Status.STOPPED
    assert _alive(life) == 0


def test_a_machine_that_appears_after_its_creation_was_given_up_is_destroyed_at_once(
    life: Course,
) -> None:
    """Long before the grace of an orphan is over; its session has another machine by then."""
    life.begin()
    late = Fault(Word.LATE_EFFECT, Operation.CREATE, delay=timedelta(seconds=20))
    life.open(auto_retry=True, retry_scope=RetryScope.ANY, luck=[late], then=A_WHILE)
    assert [one.outcome for one in _session(life).attempts] == [Outcome.UNKNOWN, Outcome.RUNNING]
    assert _alive(life) == 1


def test_the_tombstone_of_an_ended_session_is_not_forgotten_in_a_restart(life: Course) -> None:
    """Nor is the session taken up again."""
    life.begin()
    late = Fault(Word.LATE_EFFECT, Operation.CREATE, delay=timedelta(seconds=20))
    life.open(luck=[late], then=SHORTLY)
    life.restart(downtime=timedelta(seconds=90))
    life.pass_by(then=A_WHILE)
    assert _session(life).session.reason is Reason.OUTCOME_UNKNOWN
    assert _alive(life) == 0


def test_a_machine_that_appears_under_the_label_of_a_session_that_is_over_is_an_orphan(
    life: Course,
) -> None:
    """A session that is over stays over."""
    life.begin()
    life.open(then=SHORTLY)
    life.end(then=A_WHILE)
    life.duplicate(which=0, then=A_WHILE)
    assert _alive(life) == 1
    life.pass_by(then=A_WHILE)
    assert _alive(life) == 0


@pytest.mark.parametrize("proves_directly", [True, False])
def test_a_session_survives_a_list_without_its_machine(life: Course, proves_directly: bool) -> None:
    """One is a lie as long as the next one says otherwise."""
    life.begin(proves_directly=proves_directly)
    life.open(then=SHORTLY)
    life.lie(times=1, then=A_WHILE)
    assert _session(life).session.status is Status.RUNNING


def test_a_session_survives_a_denial_beside_lists_without_its_machine(life: Course) -> None:
    """Asked again, the marketplace knows it."""
    life.begin()
    life.open(then=SHORTLY)
    life.lie(times=4, denials=1, then=A_WHILE + A_WHILE)
    assert _session(life).session.status is Status.RUNNING


@pytest.mark.parametrize("proves_directly", [True, False])
def test_a_machine_that_somebody_else_destroyed_is_missed_twice(
    life: Course, proves_directly: bool
) -> None:
    """Only then is its session lost."""
    life.begin(proves_directly=proves_directly)
    life.open(then=SHORTLY)
    life.delete_by_hand(then=A_WHILE)
    assert _session(life).session.reason is Reason.INSTANCE_LOST


def test_a_machine_that_is_gone_when_a_late_list_arrives_is_no_orphan(life: Course) -> None:
    """The list tells what was when it was asked for, and the end is newer."""
    life.begin()
    life.open(then=SHORTLY)
    life.lag(times=3, by=timedelta(seconds=20), then=timedelta(seconds=60))
    life.end(then=A_WHILE)
    assert _session(life).session.status is Status.STOPPED
