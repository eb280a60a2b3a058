"""What has to happen next to a session, told from its row and its current attempt alone.

A worker asks, acts, writes, and asks again. Because nothing but the stored facts is
asked, work goes on after a crash where it stood.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from broker.decide.lease import overdue
from broker.model import Attempt, Session, Wanted


class Step(StrEnum):
    """One kind of work on a session."""

    CREATE = "create"
    """Call the provider: the attempt is recorded, nothing was sent yet."""
    RESOLVE = "resolve"
    """Find out by label whether an instance was made."""
    VERIFY = "verify"
    """Prove the access that was promised."""
    DESTROY = "destroy"
    """Destroy the instance and prove that it is gone."""
    ABANDON = "abandon"
    """Close an attempt for which the provider was never called."""
    RETRY = "retry"
    """The attempt is over and the session is still wanted: another offer, or failure."""
    CONCLUDE = "conclude"
    """No machine is left and none is wanted: the final status."""
    REST = "rest"
    """Nothing to do."""


def next_step(session: Session, attempt: Attempt) -> Step:
    """The step that brings `session` closer to what is wanted of it."""
    if session.is_final:
        return Step.REST
    is_unwanted = session.wanted is Wanted.GONE
    if attempt.is_closed:
        return Step.CONCLUDE if is_unwanted else Step.RETRY
    if attempt.instance_id is None:
        return _without_instance(attempt, is_unwanted=is_unwanted)
    if is_unwanted or attempt.reason is not None:
        return Step.DESTROY
    return Step.VERIFY if attempt.verified_at is None else Step.REST


def next_step_unwritten(
    session: Session, attempt: Attempt, now: datetime, *, has_failed: bool
) -> Step:
    """The same while nothing can be written: what is over is over, stored or not.

    A lease that is over says so itself, so that whoever comes after a crash concludes the same.
    An attempt that `has_failed`, as this process has seen, ran for nobody: whoever comes after a
    crash finds that its machine is gone, and that is a failure too.
    """
    is_over = has_failed or overdue(session, now) is not None
    has_machine = attempt.instance_id is not None and not attempt.is_closed
    return Step.DESTROY if is_over and has_machine else next_step(session, attempt)


def _without_instance(attempt: Attempt, *, is_unwanted: bool) -> Step:
    if attempt.unknown_since is not None:
        return Step.RESOLVE
    return Step.ABANDON if is_unwanted else Step.CREATE
