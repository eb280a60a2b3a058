"""What all sessions have cost, by provider, without adding up all history again and again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from broker.decide.meter import moved
from broker.decide.money import cost
from broker.model import Accrual, Change, Session


class Spending:
    """Final sessions are added up once, live ones are followed through their changes."""

    def __init__(self, accruals: Iterable[Accrual] = (), live: Collection[str] = ()) -> None:
        """From everything that was ever billed, and the ids of the sessions that are not final."""
        self._settled: dict[str, Decimal] = defaultdict(Decimal)
        self._live: dict[str, dict[int, Accrual]] = defaultdict(dict)
        self._told: dict[str, Decimal] = {}
        is_live = frozenset(live)
        for accrual in accruals:
            if accrual.session_id in is_live:
                self._follow(accrual)
            else:
                self._settle(accrual)

    def note(self, change: Change, session: Session) -> None:
        """Follow a change of `session`, which is as it is after it."""
        if change.accrual is not None:
            self._follow(change.accrual)
        if session.is_final:
            for accrual in self._live.pop(session.id, {}).values():
                self._settle(accrual)

    def move(self, by: timedelta) -> None:
        """Follow the wall clock, as the meters of live sessions do in the store."""
        for accruals in self._live.values():
            for n, accrual in accruals.items():
                accruals[n] = moved(accrual, by)

    def until(self, now: datetime) -> Mapping[str, Decimal]:
        """Provider -> USD until `now`; never less than what was told before.

        Where a machine turns out to be cheaper than its offer, time catches up: whoever
        counts must not see a counter fall.
        """
        totals = defaultdict(Decimal, self._settled)
        for accruals in self._live.values():
            for accrual in accruals.values():
                totals[accrual.provider] += cost(accrual, now)
        for provider, total in totals.items():
            self._told[provider] = max(total, self._told.get(provider, total))
        return dict(self._told)

    def _follow(self, accrual: Accrual) -> None:
        known = self._live[accrual.session_id]
        begun = known.get(accrual.attempt, accrual)
        known[accrual.attempt] = replace(accrual, begins_at=begun.begins_at)

    def _settle(self, accrual: Accrual) -> None:
        self._settled[accrual.provider] += cost(accrual, accrual.ends_at or accrual.begins_at)
