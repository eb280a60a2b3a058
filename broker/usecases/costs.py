"""What consumers have spent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from broker.decide.money import (
    LiveCosts,
    Period,
    Summary,
    cost,
    daily,
    day_of,
    days,
    live_costs,
    month_of,
    summarise,
)
from broker.errors import Detail, NotFound, ValidationFailed
from broker.model import Session
from broker.store import Store

MOST_DAYS = 366
"""A series of days is not longer."""


class Span(StrEnum):
    """The usual periods of a summary."""

    DAILY = "daily"
    MONTHLY = "monthly"


@dataclass(frozen=True, slots=True)
class Series:
    """What was spent on each day of a period."""

    period: Period
    days: Sequence[Summary]

    @property
    def total_cost(self) -> Decimal:
        """USD, to the last digit that of the whole period."""
        return sum((day.total_cost for day in self.days), Decimal(0))


class Costs:
    """Costs, from the accruals in the store: exact, and the same however they are cut."""

    def __init__(self, store: Store, *, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now

    @property
    def today(self) -> date:
        """The present UTC day."""
        return self._now().date()

    async def of_session(
        self, session_id: str, consumer_id: str | None = None, period: Period | None = None
    ) -> Decimal:
        """USD that a session has cost, or has within `period`; raises NotFound.

        A session of another consumer than `consumer_id` is not found.
        """
        await self._session(session_id, consumer_id)
        now = self._now()
        accruals = await self._store.accruals(session_id=session_id)
        return sum((cost(accrual, now, period) for accrual in accruals), Decimal(0))

    async def summary(self, period: Period, consumer_id: str | None = None) -> Summary:
        """What a consumer, or all, have spent within `period` so far."""
        accruals = await self._store.accruals(
            consumer_id=consumer_id, begins_before=period.ends_at, ends_after=period.begins_at
        )
        # Years of sessions are added up beside the event loop.
        return await asyncio.to_thread(summarise, accruals, period, self._now())

    async def live(self, consumer_id: str | None = None) -> LiveCosts:
        """What the live sessions of a consumer, or of all, cost now."""
        return live_costs(await self._store.meters(consumer_id), self._now())

    async def daily(
        self,
        period: Period | None = None,
        consumer_id: str | None = None,
        session_id: str | None = None,
    ) -> Series:
        """A summary of every UTC day of `period`; with `session_id` of that session alone.

        Without a period these are the days of this month so far, or of the session's life.
        Raises NotFound as `of_session` does, ValidationFailed for more than MOST_DAYS.
        """
        now = self._now()
        if session_id is not None:
            session = await self._session(session_id, consumer_id)
            period = period or days(session.created_at.date(), (session.stopped_at or now).date())
        period = period or days(now.date().replace(day=1), now.date())
        if period.ends_at - period.begins_at > timedelta(days=MOST_DAYS):
            raise ValidationFailed(
                f"These are more than {MOST_DAYS} days: ask for fewer at a time.",
                details=[
                    Detail("start_date", f"must be less than {MOST_DAYS} days before the last day")
                ],
            )
        accruals = await self._store.accruals(
            consumer_id=consumer_id,
            session_id=session_id,
            begins_before=period.ends_at,
            ends_after=period.begins_at,
        )
        return Series(period, await asyncio.to_thread(daily, accruals, period, now))

    async def _session(self, session_id: str, consumer_id: str | None) -> Session:
        session = await self._store.session(session_id)
        if session is None or consumer_id not in (None, session.request.consumer_id):
            raise NotFound.named("session", session_id)
        return session


def choose_period(
    today: date, span: Span | None, first: date | None, last: date | None
) -> Period | None:
    """The period that a consumer names; None where nothing is named. Both days are included.

    A span is that of today, or of the one day that is given. Without a span, a first day
    alone reaches up to today, and a last day alone back to the beginning of its month.
    Raises ValidationFailed for days in the wrong order, and for days that are not within
    one such span.
    """
    if first is not None and last is not None:
        return _between(span, first, last)
    day = first or last
    if span is not None:
        return _spanning(span, day or today)
    if first is not None:
        return days(first, max(first, today))
    if last is not None:
        return days(last.replace(day=1), last)
    return None


def _spanning(span: Span, day: date) -> Period:
    return day_of(day) if span is Span.DAILY else month_of(day)


def _between(span: Span | None, first: date, last: date) -> Period:
    if first > last:
        raise ValidationFailed(
            "The days are in the wrong order: start_date is after end_date.",
            details=[Detail("start_date", "must not be after end_date")],
        )
    if span is not None and _spanning(span, first) != _spanning(span, last):
        raise ValidationFailed(
            f"The days contradict the period: they are not within one {_UNITS[span]}.",
            details=[Detail("period", "contradicts start_date and end_date")],
        )
    return days(first, last)


_UNITS = {Span.DAILY: "day", Span.MONTHLY: "month"}
