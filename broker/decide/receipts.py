"""The receipt of an ended session: how its end was proved, and what was billed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from broker.decide.money import cost
from broker.errors import Conflict
from broker.model import Accrual, Attempt, Overview, Session, Witness


@dataclass(frozen=True, slots=True)
class Observed:
    """The provider did not have the machine any more."""

    at: datetime
    by: Witness | None
    """None where that was not kept."""


@dataclass(frozen=True, slots=True)
class MachineReceipt:
    """What became of one attempt, and what was billed for it."""

    attempt: Attempt
    billed_for: timedelta
    billed: Decimal
    """USD."""

    @property
    def was_made(self) -> bool:
        """Whether there was a machine."""
        return self.attempt.instance_id is not None

    @property
    def observations(self) -> tuple[Observed, ...]:
        """That the machine is gone, in their order; none where there was no machine."""
        told = (
            (self.attempt.absent_at, self.attempt.absent_by),
            (self.attempt.gone_at, self.attempt.gone_by),
        )
        return tuple(Observed(at, by) for at, by in told if at is not None)


@dataclass(frozen=True, slots=True)
class SessionReceipt:
    """How a session ended."""

    session: Session
    machines: tuple[MachineReceipt, ...]
    """One for each attempt."""

    @property
    def last(self) -> MachineReceipt | None:
        """The last machine that there was: with its end the session's end was proved."""
        return next((one for one in reversed(self.machines) if one.was_made), None)

    @property
    def due_at(self) -> datetime | None:
        """When the end of the last machine was due; without one, that of the session."""
        kept = self.last.attempt.due_at if self.last is not None else None
        return kept or self.session.due_at

    @property
    def reap_delay(self) -> timedelta | None:
        """From the instant at which the end was due to its proof; None without a machine.

        Never negative, though the wall clock may have been set back in between.
        """
        proved_at = self.last.attempt.gone_at if self.last is not None else None
        if proved_at is None or self.due_at is None:
            return None
        return max(proved_at - self.due_at, timedelta(0))

    @property
    def billed_for(self) -> timedelta:
        return sum((one.billed_for for one in self.machines), timedelta(0))

    @property
    def billed(self) -> Decimal:
        """USD."""
        return sum((one.billed for one in self.machines), Decimal(0))


def receipt_of(overview: Overview, now: datetime) -> SessionReceipt:
    """The receipt of a session that is over; raises Conflict for any other."""
    session = overview.session
    if not session.is_final:
        raise Conflict(
            f"The session is {session.status}: its receipt is there when its end is proved. "
            "Ask again when its status is stopped or failed."
        )
    machines = (_machine(attempt, overview.accruals, now) for attempt in overview.attempts)
    return SessionReceipt(session, tuple(machines))


def _machine(attempt: Attempt, accruals: Sequence[Accrual], now: datetime) -> MachineReceipt:
    own = [accrual for accrual in accruals if accrual.attempt == attempt.n]
    # Never negative, though the wall clock may have been set back in between.
    spans = (max((one.ends_at or now) - one.begins_at, timedelta(0)) for one in own)
    return MachineReceipt(
        attempt,
        billed_for=sum(spans, timedelta(0)),
        billed=sum((cost(accrual, now) for accrual in own), Decimal(0)),
    )
