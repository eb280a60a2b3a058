"""What a session may still be taken for, when its database was restored from a copy."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from broker.decide.restored import restored
from broker.decide.steps import Step, next_step
from broker.model import Attempt, Change, Outcome, Reason, Session, Status
from tests.builders import (
    MADE,
    NOW,
    PENDING,
    PROVISIONING,
    RUNNING,
    SENT,
    STOPPING,
    VERIFIED,
    a_request,
    an_attempt,
)

GRACE = timedelta(minutes=5)
HOUR = timedelta(hours=1)
LATER = NOW + 3 * HOUR
"""When the broker starts on a copy that was made at NOW."""


def taken_up(session: Session, attempt: Attempt, grace: timedelta = GRACE) -> Change:
    """What is written about a session of the copy."""
    return restored(session, attempt, copied_at=NOW, grace=grace, now=LATER)


def ending(expires: timedelta, hard_max: timedelta, **fields: Any) -> Session:
    """A running session whose lease ends so long after NOW."""
    return replace(RUNNING, expires_at=NOW + expires, hard_max_at=NOW + hard_max, **fields)


@pytest.mark.parametrize(
    ("session", "attempt", "step"),
    [
        (PENDING, an_attempt(), Step.RESOLVE),
        (PROVISIONING, SENT, Step.RESOLVE),
        (STOPPING, SENT, Step.RESOLVE),
        (STOPPING, an_attempt(), Step.RESOLVE),
        (PROVISIONING, MADE, Step.VERIFY),
        (RUNNING, VERIFIED, Step.REST),
        (STOPPING, VERIFIED, Step.DESTROY),
        (PROVISIONING, replace(MADE, reason=Reason.WRONG_GPU), Step.DESTROY),
        (PROVISIONING, an_attempt(ended_at=NOW, outcome=Outcome.REFUSED), Step.RETRY),
        (STOPPING, an_attempt(ended_at=NOW, outcome=Outcome.REFUSED), Step.CONCLUDE),
    ],
)
def test_no_machine_is_made_before_one_was_looked_for(
    session: Session, attempt: Attempt, step: Step
) -> None:
    """The call may have gone out after the copy was made."""
    change = taken_up(session, attempt)
    assert step is next_step(change.session, change.attempt or attempt)


def test_a_session_that_was_not_sent_can_still_run() -> None:
    """It is on its way, because its machine may exist."""
    change = taken_up(PENDING, an_attempt())
    assert Status.PROVISIONING is change.session.status
    assert change.attempt is not None
    assert LATER == change.attempt.unknown_since


def test_no_session_of_a_copy_rents_another_machine_by_itself() -> None:
    """It may have done so after the copy was made."""
    wanting = replace(PROVISIONING, request=a_request(auto_retry=True))
    assert not taken_up(wanting, MADE).session.request.auto_retry


@pytest.mark.parametrize(
    ("session", "expires_at"),
    [
        (ending(HOUR, 12 * HOUR), LATER + GRACE),
        (ending(3 * HOUR, 12 * HOUR), LATER + GRACE),
        (ending(4 * HOUR, 12 * HOUR), NOW + 4 * HOUR),
        (ending(HOUR, 2 * HOUR), NOW + 2 * HOUR),
        (ending(2 * HOUR, 2 * HOUR), NOW + 2 * HOUR),
        (ending(HOUR, 3 * HOUR + GRACE / 2), LATER + GRACE / 2),
        (replace(STOPPING, expires_at=NOW + HOUR), NOW + HOUR),
    ],
)
def test_a_lease_that_may_have_been_extended_lasts_for_the_grace(
    session: Session, expires_at: datetime
) -> None:
    """But never beyond what no extension passes, and one that was to end ends."""
    change = taken_up(session, VERIFIED)
    assert expires_at == change.session.expires_at
    assert change.session.expires_at <= max(session.expires_at, session.hard_max_at)


def test_without_a_grace_there_is_none() -> None:
    """Who sets it to nothing wants it so."""
    session = ending(HOUR, 12 * HOUR)
    assert LATER == taken_up(session, VERIFIED, timedelta(0)).session.expires_at


def test_the_clocks_of_idle_and_lost_machines_begin_anew() -> None:
    """Nobody looked in between."""
    session = replace(RUNNING, idle_since=NOW, lost_since=NOW)
    after = taken_up(session, VERIFIED).session
    assert (None, None) == (after.idle_since, after.lost_since)


def test_what_was_changed_is_told() -> None:
    """For whoever wonders why a session lasts longer."""
    (event,) = taken_up(ending(HOUR, 12 * HOUR), VERIFIED).events
    assert ("session.restored", LATER) == (event.type, event.created_at)
    assert {
        "copied_at": "2026-03-01T12:00:00.000Z",
        "attempt": 1,
        "is_searched": False,
        "before": "2026-03-01T13:00:00.000Z",
        "expires_at": "2026-03-01T15:05:00.000Z",
    } == dict(event.data)
