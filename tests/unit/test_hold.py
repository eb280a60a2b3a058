"""An operator's hold on a session: how long it may be, and what it does to its lease."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from broker.decide import hold
from broker.decide.funds import commitment_of
from broker.decide.lease import due_at, needs_warning, overdue
from broker.decide.plan import EndSession, plan_sessions
from broker.decide.watchdog import deadline_of
from broker.errors import Conflict, ValidationFailed
from broker.model import Reason, Session, Status, Wanted
from broker.store.rows import session_row
from tests.builders import LATER, NOW, RUNNING, STOPPING, a_watch

HOUR = timedelta(hours=1)
EXPIRY, HARD_MAXIMUM, DEADLINE = NOW + HOUR, NOW + 12 * HOUR, NOW + 13 * HOUR
"""Of the session that these tests hold."""


def held(until: datetime, session: Session = RUNNING) -> Session:
    """The session, held."""
    return hold.hold(session, until, "nearly done", LATER).session


def test_a_hold_is_told_with_its_reason_and_what_it_takes_the_place_of() -> None:
    """Whoever finds the session held reads why."""
    first = held(NOW + 2 * HOUR)
    change = hold.hold(first, NOW + 3 * HOUR, "a little more", LATER)

    assert (NOW + 3 * HOUR, "a little more") == (
        change.session.held_until,
        change.session.hold_reason,
    )
    (event,) = change.events
    assert "session.held" == event.type
    assert {
        "held_until": "2026-03-01T15:00:00.000Z",
        "reason": "a little more",
        "before": "2026-03-01T14:00:00.000Z",
    } == event.data


def test_a_hold_ends_before_its_machine_has_no_right_to_live_any_more() -> None:
    """The label was written when the machine was made: nothing moves its deadline."""
    assert DEADLINE == hold.hold_until(RUNNING, 13 * HOUR, "hours", NOW)

    with pytest.raises(ValidationFailed, match="lets it live until 2026-03-02T01:00") as refusal:
        hold.hold_until(RUNNING, 13 * HOUR + timedelta(minutes=1), "minutes", NOW)

    (detail,) = refusal.value.details
    assert "minutes" == detail.field
    assert "2026-03-02T01:00:00.000Z" in detail.message


def test_a_session_that_ends_is_not_held() -> None:
    """An end that was asked for is not taken back."""
    with pytest.raises(Conflict):
        hold.hold_until(STOPPING, HOUR, "hours", NOW)


@pytest.mark.parametrize(
    ("until", "ends_at", "reason"),
    [
        (None, EXPIRY, Reason.EXPIRED),
        (NOW + timedelta(minutes=30), EXPIRY, Reason.EXPIRED),
        (NOW + 2 * HOUR, NOW + 2 * HOUR, Reason.EXPIRED),
        (NOW + 13 * HOUR, NOW + 13 * HOUR, Reason.EXPIRED),
    ],
)
def test_a_lease_is_not_over_before_the_end_of_a_hold(
    until: datetime | None, ends_at: datetime, reason: Reason
) -> None:
    """A hold lengthens a lease and never shortens it; everything that counts on it knows."""
    session = replace(RUNNING, held_until=until)
    watch = a_watch(held_until=until)
    commitment = commitment_of(session)

    assert ends_at == due_at(session) == session_row(session)["lease_ends_at"]
    assert commitment is not None
    assert ends_at == commitment.ends_at
    assert [] == [one for one in plan_sessions([watch], ends_at - HOUR / 60) if _ends(one)]
    assert [EndSession(watch.id, reason, ends_at)] == plan_sessions([watch], ends_at)


def _ends(action: object) -> bool:
    return isinstance(action, EndSession)


def test_a_hold_passes_the_hard_maximum_too() -> None:
    """The operator's word is about the machine, not about the reservation."""
    watch = a_watch(expires_at=HARD_MAXIMUM + HOUR, held_until=HARD_MAXIMUM + HOUR / 2)

    assert overdue(watch, HARD_MAXIMUM) is None
    assert Reason.HARD_MAXIMUM is overdue(watch, HARD_MAXIMUM + HOUR / 2)


def test_the_end_of_a_hold_is_announced_like_any_other() -> None:
    """Also where the expiry was announced before the hold came."""
    watch = a_watch(warned_for=EXPIRY, held_until=NOW + 2 * HOUR)

    assert not needs_warning(watch, EXPIRY)
    assert needs_warning(watch, NOW + 2 * HOUR - timedelta(minutes=5))


def test_a_watchdog_waits_for_the_end_of_the_hold() -> None:
    """A machine that ends itself must not end a held session; the label stays the bound."""
    assert NOW + 2 * HOUR + timedelta(minutes=10) == deadline_of(held(NOW + 2 * HOUR))
    assert DEADLINE == deadline_of(held(DEADLINE))


def test_a_release_gives_the_lease_back() -> None:
    """Before its expiry the session goes on as if nobody had held it."""
    change = hold.release(held(NOW + 2 * HOUR), LATER)

    assert change is not None
    assert ["session.released"] == [event.type for event in change.events]
    assert (Wanted.RUNNING, None, None) == (
        change.session.wanted,
        change.session.held_until,
        change.session.hold_reason,
    )
    assert EXPIRY == due_at(change.session)


def test_a_release_ends_a_session_that_only_the_hold_kept() -> None:
    """At once: its end is due at the release, not when its lease was over long ago."""
    released_at = NOW + 2 * HOUR
    change = hold.release(held(NOW + 3 * HOUR), released_at)

    assert change is not None
    assert ["session.released", "session.stopping"] == [event.type for event in change.events]
    assert (Status.STOPPING, Reason.EXPIRED, released_at) == (
        change.session.status,
        change.session.reason,
        change.session.due_at,
    )


@pytest.mark.parametrize(
    "session",
    [RUNNING, STOPPING, replace(RUNNING, held_until=NOW), replace(STOPPING, held_until=DEADLINE)],
)
def test_there_is_nothing_to_release_where_nobody_holds(session: Session) -> None:
    """Nobody did, the hold is over, or the session is ending in spite of it."""
    assert hold.release(session, LATER) is None
