"""The money of the organization: prepaid, charged by the second, with an end for every machine."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from tests.tensordock_wire.lives import RUNNING, STOPPED, VirtualMachine

FLOOR = Decimal(1)
"""At this balance everything is stopped, and nothing can be made; below zero it is deleted."""
_HOUR = Decimal(3600)
_MICROSECOND = Decimal("0.000001")


@dataclass
class Ledger:
    """The balance in USD, charged up to an instant."""

    balance: Decimal
    charged_until: datetime

    def settle(self, machines: Collection[VirtualMachine], now: datetime) -> None:
        """Charge up to `now`, from one change of a price to the next."""
        while self.charged_until < now:
            since = self.charged_until
            changes = (at for one in machines for at in one.changes() if since < at < now)
            self._charge(machines, min(changes, default=now))
        self.enforce(machines, now)

    def enforce(self, machines: Collection[VirtualMachine], now: datetime) -> None:
        """Stop, or delete, what is not paid for any more."""
        for one in machines:
            if self.balance < 0 and one.deleted_at is None:
                one.deleted_at = one.gone_at = now
            elif self.balance <= FLOOR and one.status(now) == RUNNING:
                one.change(now, STOPPED)

    def hourly(self, machines: Collection[VirtualMachine], now: datetime) -> Decimal:
        """USD per hour of everything together."""
        return sum((one.billed_rate(now) for one in machines), Decimal())

    def _charge(self, machines: Collection[VirtualMachine], until: datetime) -> None:
        """Charge one span in which no price changes; it ends early where a limit is reached."""
        since = self.charged_until
        per_hour = self.hourly(machines, since)
        for limit in (FLOOR, Decimal()):
            if self.balance > limit and per_hour:
                microseconds = (self.balance - limit) / per_hour * _HOUR / _MICROSECOND
                reached = since + timedelta(microseconds=int(microseconds) + 1)
                until = min(until, reached) if microseconds < 1e15 else until
        seconds = Decimal((until - since) / timedelta(microseconds=1)) * _MICROSECOND
        for one in machines:
            one.billed += one.billed_rate(since) * seconds / _HOUR
        self.balance -= per_hour * seconds / _HOUR
        self.charged_until = until
        self.enforce(machines, until)
