"""What comes next for a session."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from broker.decide.steps import Step, next_step, next_step_unwritten
from broker.model import FINAL, Attempt, Outcome, Reason, Session, Status, Wanted
from tests.builders import NOW, a_session, an_attempt

DAY = timedelta(days=1)
RUNNING, GONE = a_session(status=Status.PROVISIONING), a_session(wanted=Wanted.GONE)


def test_a_recorded_attempt_is_sent() -> None:
    """Nothing was sent yet: call the provider."""
    assert Step.CREATE is next_step(a_session(), an_attempt())


def test_an_attempt_that_was_never_sent_is_abandoned_when_nobody_wants_it() -> None:
    """No machine is rented for a session that is over."""
    assert Step.ABANDON is next_step(GONE, an_attempt())


def test_an_open_creation_is_resolved_before_anything_else() -> None:
    """Wanted or not: first it must be known whether a machine was made."""
    unknown = an_attempt(unknown_since=NOW)

    assert Step.RESOLVE is next_step(RUNNING, unknown)
    assert Step.RESOLVE is next_step(GONE, unknown)


def test_a_made_machine_is_verified() -> None:
    """A machine without a proof is proved."""
    assert Step.VERIFY is next_step(RUNNING, an_attempt(instance_id="i-1"))


def test_a_verified_machine_is_left_to_its_consumer() -> None:
    """Nothing to do while a session runs."""
    session = a_session(status=Status.RUNNING)

    assert Step.REST is next_step(session, an_attempt(instance_id="i-1", verified_at=NOW))


def test_a_failed_attempt_destroys_its_machine_before_the_next_begins() -> None:
    """First the proof that it is gone, then another offer."""
    failed = an_attempt(instance_id="i-1", reason=Reason.WRONG_GPU)
    closed = an_attempt(
        instance_id="i-1", reason=Reason.WRONG_GPU, ended_at=NOW, outcome=Outcome.FAILED
    )

    assert Step.DESTROY is next_step(RUNNING, failed)
    assert Step.RETRY is next_step(RUNNING, closed)


def test_an_unwanted_machine_is_destroyed() -> None:
    """The intent alone is enough, verified or not."""
    assert Step.DESTROY is next_step(GONE, an_attempt(instance_id="i-1"))
    assert Step.DESTROY is next_step(GONE, an_attempt(instance_id="i-1", verified_at=NOW))


def test_a_session_without_a_machine_is_concluded() -> None:
    """Nothing is left and nothing is wanted."""
    assert Step.CONCLUDE is next_step(GONE, an_attempt(instance_id="i-1", ended_at=NOW))


def test_nothing_is_done_about_a_final_session() -> None:
    """A final row is never touched again."""
    for status in FINAL:
        assert Step.REST is next_step(a_session(status=status), an_attempt(instance_id="i-1"))


def test_a_lease_that_is_over_is_an_end_though_nothing_can_be_written() -> None:
    """Verified or not; before its time, and without a machine, all goes on as ever."""
    made = an_attempt(instance_id="i-1")
    over = RUNNING.expires_at

    def step(session: Session, attempt: Attempt, now: datetime) -> Step:
        return next_step_unwritten(session, attempt, now, has_failed=False)

    assert Step.DESTROY is step(RUNNING, made, over)
    assert Step.DESTROY is step(RUNNING, replace(made, verified_at=NOW), over)
    assert Step.VERIFY is step(RUNNING, made, over - timedelta(seconds=1))
    assert Step.CREATE is step(RUNNING, an_attempt(), over)
    assert Step.VERIFY is step(replace(RUNNING, held_until=over + DAY), made, over)


def test_an_attempt_that_has_failed_is_over_though_nothing_can_be_written() -> None:
    """Where there is a machine to destroy; a closed one has none."""

    def step(attempt: Attempt) -> Step:
        return next_step_unwritten(RUNNING, attempt, NOW, has_failed=True)

    assert Step.DESTROY is step(an_attempt(instance_id="i-1"))
    assert Step.RETRY is step(an_attempt(instance_id="i-1", ended_at=NOW))
    assert Step.CREATE is step(an_attempt())
