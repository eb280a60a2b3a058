"""The meter of a machine: from when to when the provider bills it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from broker.decide.events import require_open
from broker.effects import Effect
from broker.model import Accrual, Attempt, Change, Session
from providers.base import Instance


def made_at(attempt: Attempt, instance: Instance, now: datetime) -> datetime:
    """Since when the instance is billed: the provider's word, if it can be true."""
    return min(max(instance.created_at or now, attempt.started_at), now)


def meter(session: Session, attempt: Attempt, ends_at: datetime | None = None) -> Accrual:
    """What is billed for the attempt's machine, until `ends_at`.

    Without it, until its destruction was accepted, or until the machine was missed; it runs on
    where neither has happened.
    """
    return Accrual(
        session_id=session.id,
        attempt=attempt.n,
        consumer_id=session.request.consumer_id,
        provider=attempt.offer.provider,
        gpu_type=attempt.offer.gpu_type,
        price_per_hour=attempt.price_per_hour,
        begins_at=attempt.accepted_at or attempt.started_at,
        ends_at=ends_at or attempt.destroy_accepted_at or attempt.absent_at,
    )


def moved(accrual: Accrual, by: timedelta) -> Accrual:
    """The accrual when the wall clock was set: what it lasts is what it lasted before."""
    ends_at = accrual.ends_at
    return replace(
        accrual,
        begins_at=accrual.begins_at + by,
        ends_at=None if ends_at is None else ends_at + by,
    )


def run_on(session: Session, attempt: Attempt) -> Change:
    """What was asked for, and may have been accepted, is known to have had no effect.

    So the machine is billed on. No event, as for `moves.destroy_again`.
    """
    require_open(session, "bill on")
    is_ignored = attempt.destroy_accepted_at is not None
    name = Effect.DESTROY_IGNORED if is_ignored else Effect.RUN_ON
    up = replace(attempt, destroy_accepted_at=None)
    return Change(name, session, up, accrual=meter(session, up))
