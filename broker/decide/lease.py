"""The bound of a session in time: when it ends, how far it may be extended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from broker.errors import Detail, HardMaxExceeded
from broker.model import Reason, Session, Watch

LABEL_MARGIN = timedelta(hours=1)
"""How long after its hard maximum a label still lets its instance live."""

EXPIRY_WARNING = timedelta(minutes=5)
"""How long before its end a session announces it."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The instants that bound a session."""

    expires_at: datetime
    hard_max_at: datetime
    label_deadline: datetime


def grant_lease(now: datetime, reservation: timedelta, hard_max: timedelta) -> Lease:
    """The lease of a session created at `now`; raises HardMaxExceeded."""
    if reservation > hard_max:
        raise HardMaxExceeded(
            f"The reservation of {_hours(reservation)} h passes the hard maximum of "
            f"{_hours(hard_max)} h.",
            details=[Detail("reservation_hours", f"{_hours(hard_max)} at most")],
        )
    hard_max_at = now + hard_max
    deadline = (hard_max_at + LABEL_MARGIN).replace(second=0, microsecond=0)
    return Lease(now + reservation, hard_max_at, deadline + timedelta(minutes=1))


def extend(session: Session, by: timedelta, field: str) -> datetime:
    """The new end of a session; raises HardMaxExceeded where it would pass the hard maximum.

    `field` is the one that says by how much.
    """
    expires_at = session.expires_at + by
    if expires_at > session.hard_max_at:
        longest = session.hard_max_at - session.created_at
        raise HardMaxExceeded(
            f"The whole reservation would be {_hours(expires_at - session.created_at)} h; "
            f"the hard maximum is {_hours(longest)} h.",
            details=[Detail(field, f"{_hours(longest)} h in all at most")],
        )
    return expires_at


def overdue(leased: Session | Watch, now: datetime) -> Reason | None:
    """Why the lease is over at `now`; None while it is not."""
    if due_at(leased) > now:
        return None
    return Reason.EXPIRED if leased.expires_at <= now else Reason.HARD_MAXIMUM


def due_at(leased: Session | Watch) -> datetime:
    """The instant at which the lease is over: not before the end of a hold."""
    ends_at = min(leased.expires_at, leased.hard_max_at)
    return ends_at if leased.held_until is None else max(ends_at, leased.held_until)


def is_kept(leased: Session | Watch, now: datetime) -> bool:
    """Whether an operator keeps the broker from ending it by itself."""
    return leased.held_until is not None and now < leased.held_until


def has_cut_hold(session: Session) -> bool:
    """Whether a session has ended before its hold: nothing holds it any more."""
    ended_at, until = session.stopped_at, session.held_until
    return ended_at is not None and until is not None and ended_at < until


def needs_warning(leased: Session | Watch, now: datetime) -> bool:
    """Whether the approaching end has still to be announced."""
    return leased.warned_for != due_at(leased) and due_at(leased) - now <= EXPIRY_WARNING


def _hours(span: timedelta) -> str:
    return f"{span / timedelta(hours=1):g}"
