"""What consumers have spent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from broker.decide.money import Period, Summary, cost, day_of, days, month_of, summarise
from broker.errors import Detail, NotFound, ValidationFailed
from broker.store import Store


class Span(StrEnum):
    """The usual periods of a summary."""

    DAILY = "daily"
    MONTHLY = "monthly"


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
        session = await self._store.session(session_id)
        if session is None or consumer_id not in (None, session.request.consumer_id):
            raise NotFound("There is no such session.")
        now = self._now()
        accruals = await self._store.accruals(session_id=session_id)
        return sum((cost(accrual, now, period) for accrual in accruals), Decimal(0))

    async def summary(self, period: Period, consumer_id: str | None = None) -> Summary:
        """What a consumer, or all, have spent within `period` so far."""
        accruals = await self._store.accruals(
            consumer_id=consumer_id, begins_before=period.ends_at, ends_after=period.begins_at
        )
        return summarise(accruals, period, self._now())


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
