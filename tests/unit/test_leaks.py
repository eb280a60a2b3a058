"""Machines that live too long: which they are, and what is counted of them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from broker.decide.leaks import REACTION, Leaks, Machine, count_leaks, forgiven, unwanted
from broker.model import Reason, Status, Wanted, Watch
from tests.builders import NOW, a_watch

MACHINE = Machine("simulator", "i-1")
LATER = timedelta(seconds=30)
ENDING = {"wanted": Wanted.GONE, "status": Status.STOPPING, "due_at": NOW - LATER}


@pytest.mark.parametrize(
    ("watch", "since"),
    [
        (a_watch(), None),
        (a_watch(expires_at=NOW), NOW),
        (a_watch(expires_at=NOW - LATER), NOW - LATER),
        (a_watch(expires_at=NOW - LATER, held_until=NOW + LATER), None),
        (a_watch(hard_max_at=NOW - LATER), NOW - LATER),
        (a_watch(**ENDING), NOW - LATER),
        (a_watch(**ENDING, instance_id=None), None),
        (a_watch(**ENDING, destroy_accepted_at=NOW), None),
        (a_watch(**ENDING, ended_at=NOW), None),
        (a_watch(status=Status.PROVISIONING, failed_for=Reason.WRONG_GPU), NOW),
    ],
)
def test_a_machine_is_unwanted_from_the_end_until_its_destruction_is_accepted(
    watch: Watch, since: object
) -> None:
    """Where nothing was made, or the marketplace has agreed, there is nothing to leak."""
    assert ({} if since is None else {MACHINE: since}) == unwanted([watch], NOW)


def test_a_leak_grows_from_look_to_look() -> None:
    """What was counted once is not counted again, and the reaction is free."""
    counted, leaked = Leaks(NOW), []
    for seconds in (0, 1, 5, 10, 10, 3600):
        steady = NOW + timedelta(seconds=seconds)
        counted, found = count_leaks(counted, {MACHINE: NOW}, {}, {}, steady, steady)
        leaked.append(found["simulator"].total_seconds())

    assert [0, 0, 3, 5, 0, 3590] == leaked


def test_the_time_before_the_process_began_is_not_counted() -> None:
    """Nobody knows how much of it an earlier process has counted."""
    counted, leaked = count_leaks(Leaks(NOW), {MACHINE: NOW - timedelta(hours=1)}, {}, {}, NOW, NOW)
    assert {"simulator": timedelta()} == leaked

    later = NOW + LATER
    _, leaked = count_leaks(counted, {MACHINE: NOW - timedelta(hours=1)}, {}, {}, later, later)
    assert {"simulator": LATER} == leaked


def test_a_jump_of_the_wall_clock_is_no_leak() -> None:
    """An end that was due long ago of a sudden, and one that was due before."""
    late, jumped = NOW + LATER, NOW + timedelta(hours=5)
    counted, _ = count_leaks(Leaks(NOW), {MACHINE: NOW}, {}, {}, NOW, NOW)
    _, leaked = count_leaks(counted, {MACHINE: NOW}, {}, {}, jumped, late)
    assert {"simulator": LATER - REACTION} == leaked

    counted = forgiven(Leaks(NOW), late)
    due = {MACHINE: NOW + timedelta(hours=1)}
    counted, leaked = count_leaks(counted, due, {}, {}, jumped, late)
    assert {"simulator": timedelta()} == leaked
    _, leaked = count_leaks(counted, due, {}, {}, jumped + LATER, late + LATER)
    assert {"simulator": LATER - REACTION} == leaked


def test_orphans_leak_like_machines_of_sessions() -> None:
    """From the instant at which their destruction had to be asked for; each provider on its own."""
    orphan = Machine("vastai", "i-2")
    future = Machine("vastai", "i-3")
    overdue = {orphan: NOW - LATER, future: NOW + LATER}
    counted, leaked = count_leaks(
        Leaks(NOW - timedelta(hours=1)), {MACHINE: NOW}, overdue, {}, NOW, NOW
    )
    assert {"simulator": timedelta(), "vastai": LATER - REACTION} == leaked

    _, leaked = count_leaks(counted, {}, {}, {}, NOW + LATER, NOW + LATER)
    assert {} == leaked


def test_a_leak_is_counted_to_its_end() -> None:
    """And not to the look that finds it ended, nor where nothing ended: its lease was extended."""
    counted, _ = count_leaks(Leaks(NOW), {MACHINE: NOW}, {}, {}, NOW, NOW)
    ended = {MACHINE: NOW + timedelta(seconds=9)}

    _, leaked = count_leaks(counted, {}, {}, ended, NOW + LATER, NOW + LATER)
    assert {"simulator": timedelta(seconds=7)} == leaked
    _, leaked = count_leaks(counted, {}, {}, {}, NOW + LATER, NOW + LATER)
    assert {} == leaked


def test_what_ended_and_could_not_be_written_leaks_no_more() -> None:
    """It is due as long as its row says so, and counted once."""
    due, ended = {MACHINE: NOW}, {MACHINE: NOW + timedelta(seconds=5)}
    counted, found = Leaks(NOW), []
    for later in (LATER, 2 * LATER):
        counted, leaked = count_leaks(counted, due, {}, ended, NOW + later, NOW + later)
        found.append(leaked["simulator"].total_seconds())

    assert [3, 0] == found
