"""What a sweep decides from what it has observed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.decide.ownership import Machines, count_machines
from broker.decide.plan import (
    DestroyInstance,
    EndSession,
    LoseSession,
    MarkLost,
    Memory,
    Policy,
    ResumeSession,
    Verdicts,
    WarnSession,
    plan_instances,
    plan_sessions,
)
from broker.model import FINAL, LIVE, Holder, Reason, Sighting, Status, Wanted, Watch
from providers.base import Instance, InstanceStatus
from tests.builders import (
    DEPLOYMENT,
    NOW,
    SESSION_ID,
    a_holder,
    a_label,
    a_sighting,
    a_watch,
    an_instance,
)

HOUR = timedelta(hours=1)
POLICY = Policy(
    deployment=DEPLOYMENT,
    orphan_grace=timedelta(minutes=5),
    orphan_grace_is_explicit=False,
    reconciliation_interval=timedelta(minutes=1),
    lost_after=timedelta(minutes=2),
    complete_since=NOW - timedelta(days=1),
)
_NOTHING = Memory()


def compare(
    instances: Sequence[Instance] = (),
    *,
    watches: Sequence[Watch] = (),
    holders: Sequence[Holder] = (),
    sightings: Sequence[Sighting] = (),
    memory: Memory = _NOTHING,
    policy: Policy = POLICY,
    **changes: Any,
) -> Verdicts:
    """`plan_instances` ten minutes after NOW."""
    now = changes.pop("now", NOW + timedelta(minutes=10))
    return plan_instances(
        "simulator",
        instances,
        listed_at=now,
        settle=timedelta(seconds=2),
        watches=watches,
        holders={holder.session_id: holder for holder in holders},
        sightings=sightings,
        memory=memory,
        policy=policy,
        now=now,
        steady=changes.pop("steady", now),
    )


@pytest.mark.parametrize("status", sorted(LIVE - {Status.STOPPING}))
def test_a_session_is_ended_when_its_reservation_is_over(status: Status) -> None:
    """How far it has come is no excuse; the end is due at its instant, not when it is noticed."""
    watch = a_watch(status=status, expires_at=NOW - HOUR)

    assert EndSession(SESSION_ID, Reason.EXPIRED, NOW - HOUR) in plan_sessions([watch], NOW)


def test_a_session_is_ended_at_its_hard_maximum() -> None:
    """The hard maximum binds also where the reservation is longer."""
    watch = a_watch(expires_at=NOW + HOUR, hard_max_at=NOW)

    assert [EndSession(SESSION_ID, Reason.HARD_MAXIMUM, NOW)] == plan_sessions([watch], NOW)


def test_the_end_is_announced_once_five_minutes_before() -> None:
    """A session whose end comes near is warned of, once for each end."""
    watch = a_watch(expires_at=NOW + timedelta(minutes=4))

    assert [WarnSession(SESSION_ID)] == plan_sessions([watch], NOW)
    assert [] == plan_sessions([replace(watch, warned_for=watch.expires_at)], NOW)
    assert [] == plan_sessions([a_watch(expires_at=NOW + timedelta(minutes=6))], NOW)


def test_whatever_is_on_its_way_is_taken_up_again() -> None:
    """A session that comes up or goes down has somebody who works on it."""
    for status in LIVE - {Status.RUNNING}:
        assert [ResumeSession(SESSION_ID)] == plan_sessions([a_watch(status=status)], NOW)
    ending = a_watch(wanted=Wanted.GONE)
    assert [ResumeSession(SESSION_ID)] == plan_sessions([ending], NOW)


def test_a_healthy_session_is_left_alone() -> None:
    """Nothing is done about a running session whose machine is listed as running."""
    verdicts = compare([an_instance()], watches=[a_watch()], holders=[a_holder()])

    assert () == verdicts.actions
    assert () == verdicts.sightings


@pytest.mark.parametrize("status", list(InstanceStatus))
def test_a_machine_that_no_session_holds_is_destroyed_after_the_grace(
    status: InstanceStatus,
) -> None:
    """An orphan is remembered at first sight, and destroyed when the grace is over.

    Whatever its provider calls it: what has stopped is billed for its disk.
    """
    orphan = an_instance(status=status)
    first = compare([orphan])
    assert ((), 1) == (first.actions, first.sightings[0].count)

    policy = replace(POLICY, orphan_grace=timedelta(0), orphan_grace_is_explicit=True)
    again = compare([orphan], sightings=first.sightings, policy=policy)
    assert [DestroyInstance] == [type(action) for action in again.actions]


def test_two_sightings_are_needed_even_without_a_grace() -> None:
    """One list that shows an orphan is never enough."""
    policy = replace(POLICY, orphan_grace=timedelta(0), orphan_grace_is_explicit=True)

    assert () == compare([an_instance()], policy=policy).actions


def test_a_young_orphan_is_not_destroyed() -> None:
    """Within the grace an orphan lives, however often it was seen."""
    sighting = a_sighting(first_seen_at=NOW + timedelta(minutes=6), count=9)

    assert () == compare([an_instance()], sightings=[sighting]).actions


def test_an_orphan_that_is_older_than_the_database_lives_until_its_label_says() -> None:
    """A lost database must not kill what may still be in use."""
    old = an_instance(created_at=NOW - timedelta(days=2))
    sighting = a_sighting(count=9)

    assert () == compare([old], sightings=[sighting]).actions
    late = compare([old], sightings=[sighting], now=NOW + timedelta(hours=13))
    assert [DestroyInstance] == [type(action) for action in late.actions]
    policy = replace(POLICY, orphan_grace_is_explicit=True)
    assert 1 == len(compare([old], sightings=[sighting], policy=policy).actions)


def test_a_restored_database_does_not_know_of_later_attempts() -> None:
    """What was rented since the copy may be in use, whether its session is in the copy or not."""
    policy = replace(POLICY, complete_since=NOW + HOUR)
    later = [a_holder(is_closed=True), a_holder(attempt=2, is_closed=True)]
    machine = an_instance(label=a_label(attempt=2))

    seen = [a_sighting(count=9)]
    assert () == compare([machine], sightings=seen, policy=policy).actions
    assert () == compare([machine], sightings=seen, policy=policy, holders=later[:1]).actions
    assert 1 == len(compare([machine], sightings=seen, policy=policy, holders=later[1:]).actions)


def test_the_machine_of_a_finished_session_is_an_orphan() -> None:
    """What appears after the end of its session is destroyed like any orphan."""
    for status in FINAL:
        holder = a_holder(status=status, is_closed=True)
        verdicts = compare([an_instance()], holders=[holder], sightings=[a_sighting()])
        assert [DestroyInstance] == [type(action) for action in verdicts.actions]


def test_a_list_older_than_the_proof_of_an_end_shows_no_orphan() -> None:
    """A machine that was proved gone after the list was asked for is not an orphan."""
    listed_at = NOW + timedelta(minutes=10)
    ended = a_holder(status=Status.STOPPED, is_closed=True, gone_at={1: listed_at})
    seen = compare([an_instance()], holders=[ended])
    assert () == seen.sightings

    earlier = replace(ended, gone_at={1: listed_at - timedelta(seconds=1)})
    assert 1 == len(compare([an_instance()], holders=[earlier]).sightings)


def test_a_clock_that_was_set_back_hides_no_orphan() -> None:
    """A proof in the future was before the list, whatever the clock says now."""
    ended = a_holder(status=Status.STOPPED, is_closed=True, gone_at={1: NOW + 2 * HOUR})

    assert 1 == len(compare([an_instance()], holders=[ended]).sightings)


def test_a_second_machine_of_a_live_session_is_an_orphan() -> None:
    """A session holds one machine: its twin under the same label is destroyed."""
    twin = an_instance(id="i-2")
    verdicts = compare(
        [an_instance(), twin],
        watches=[a_watch()],
        holders=[a_holder()],
        sightings=[a_sighting(instance_id="i-2")],
    )

    assert ["i-2"] == [action.instance_id for action in verdicts.actions]


def test_a_machine_whose_creation_is_still_open_is_held() -> None:
    """Between the creating call and its answer a machine is never an orphan."""
    holder = a_holder(status=Status.PROVISIONING, instance_id=None)

    assert () == compare([an_instance()], holders=[holder]).sightings


def test_a_late_arrival_is_buried_at_once() -> None:
    """A machine that appears under a tombstone is destroyed at first sight."""
    tombstones = {1: NOW + timedelta(minutes=30)}
    holder = a_holder(status=Status.PROVISIONING, attempt=2, tombstones=tombstones)

    verdicts = compare([an_instance()], holders=[holder])
    assert [DestroyInstance] == [type(action) for action in verdicts.actions]


def test_machines_of_others_are_never_touched() -> None:
    """Only equality of the whole deployment part makes a machine ours."""
    theirs = [
        an_instance(label=None),
        an_instance(label="somebody-elses"),
        an_instance(label=a_label(deployment=DEPLOYMENT + "x")),
        an_instance(label=a_label(deployment=DEPLOYMENT[:-1])),
        an_instance(label=a_label() + "-more"),
    ]
    verdicts = compare(theirs, sightings=[a_sighting(count=9)])

    assert ((), ()) == (verdicts.actions, verdicts.sightings)
    assert Machines(0, 0, foreign=5, unreadable=1) == count_machines(theirs, {}, DEPLOYMENT)


def test_a_ghost_needs_two_lists_without_its_machine() -> None:
    """One list that misses a live machine ends nothing."""
    first = compare([], watches=[a_watch()])
    assert () == first.actions

    second = compare([], watches=[a_watch()], memory=first.memory)
    assert [LoseSession] == [type(action) for action in second.actions]


def test_a_list_that_shows_the_machine_again_forgives_the_miss() -> None:
    """Misses count only in a row."""
    first = compare([], watches=[a_watch()])
    between = compare([an_instance()], watches=[a_watch()], memory=first.memory)
    third = compare([], watches=[a_watch()], memory=between.memory)

    assert () == third.actions


def test_a_machine_too_young_for_the_list_is_not_missed() -> None:
    """Within the settle time a provider may not list a new machine yet."""
    watch = a_watch(accepted_at=NOW + timedelta(minutes=10) - timedelta(seconds=1))

    assert {} == compare([], watches=[watch]).memory.missed


def test_a_lost_machine_ends_its_session_after_a_while() -> None:
    """Lost, stopped or offline for `lost_after` is the end; back in time is forgiven."""
    down = an_instance(status=InstanceStatus.OFFLINE)
    now = NOW + timedelta(minutes=10)

    assert (MarkLost(SESSION_ID, now),) == compare([down], watches=[a_watch()]).actions
    noticed = a_watch(lost_since=now - timedelta(minutes=1))
    assert () == compare([down], watches=[noticed]).actions
    assert (MarkLost(SESSION_ID, None),) == compare([an_instance()], watches=[noticed]).actions
    long_ago = a_watch(lost_since=now - timedelta(minutes=2))
    lost = compare([down], watches=[long_ago]).actions
    assert [LoseSession] == [type(action) for action in lost]


@pytest.mark.parametrize("jump", [timedelta(hours=2), timedelta(hours=-2)])
def test_a_jump_of_the_wall_clock_ends_no_grace_and_stretches_none(jump: timedelta) -> None:
    """An orphan and a machine that is down have their time by the steady clock."""
    down = replace(an_instance(), status=InstanceStatus.OFFLINE)
    orphan = an_instance(id="i-2", label=a_label(session_id="sess-bbbbbbbbbbbb"))
    begun_at = NOW + timedelta(minutes=10)
    first = compare([down, orphan], watches=[a_watch()], holders=[a_holder()])
    noted = [a_watch(lost_since=begun_at)]

    def later(**passed: float) -> list[type[object]]:
        steady = begun_at + timedelta(**passed)
        found = compare(
            [down, orphan],
            watches=noted,
            holders=[a_holder()],
            sightings=first.sightings,
            memory=first.memory,
            now=steady + jump,
            steady=steady,
        )
        return [type(action) for action in found.actions]

    assert [] == later(seconds=119)
    assert [LoseSession] == later(seconds=120)
    assert [DestroyInstance, LoseSession] == later(minutes=5)


@given(
    status=st.sampled_from(sorted(LIVE)),
    count=st.integers(1, 99),
    grace=st.integers(0, 600),
    is_explicit=st.booleans(),
    machine_status=st.sampled_from(list(InstanceStatus)),
    recorded=st.sampled_from([None, "i-1"]),
)
def test_the_machine_that_a_live_session_holds_is_never_destroyed(
    status: Status,
    count: int,
    grace: int,
    is_explicit: bool,
    machine_status: InstanceStatus,
    recorded: str | None,
) -> None:
    """Whatever else is true, a sweep does not destroy the current machine of a live session."""
    policy = replace(
        POLICY, orphan_grace=timedelta(seconds=grace), orphan_grace_is_explicit=is_explicit
    )
    verdicts = compare(
        [an_instance(status=machine_status)],
        holders=[a_holder(status=status, instance_id=recorded)],
        sightings=[a_sighting(count=count)],
        policy=policy,
    )

    assert not [action for action in verdicts.actions if isinstance(action, DestroyInstance)]
