"""What was spent."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

from aiohttp import web
from pydantic import BeforeValidator, Field

from broker.api.http import Query, Route, json_response, parse_query
from broker.api.models import Text
from broker.decide.money import CURRENCY, LiveCosts, Period, Summary, month_of
from broker.usecases.costs import Costs, Span, choose_period

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _day(text: object) -> object:
    if not isinstance(text, str) or _DAY.fullmatch(text) is None:
        raise ValueError("must be a day, YYYY-MM-DD")
    return text


Day = Annotated[date, BeforeValidator(_day), Field(ge=date(1970, 1, 1), le=date(9998, 12, 31))]
Consumer = Annotated[Text | None, BeforeValidator(lambda text: text or None)]


class SummaryQuery(Query):
    """Whose costs to sum up."""

    consumer_id: Consumer = Field(None, description="Only this consumer's; empty is all.")


class DailyQuery(SummaryQuery):
    """Which days to tell the costs of."""

    session_id: Text | None = Field(None, description="Of one session.")
    start_date: Day | None = Field(None, description="The first UTC day.")
    end_date: Day | None = Field(None, description="The last UTC day, included.")


class CostQuery(DailyQuery):
    """Which costs to tell."""

    period: Span | None = Field(
        None, description="Of today or this month, or of the day that is given."
    )


class CostRoutes:
    """Handlers of `/api/v1/costs`."""

    def __init__(self, costs: Costs) -> None:
        self._costs = costs

    def routes(self) -> list[Route]:
        """The table of these routes."""
        base = "/api/v1/costs"
        return [
            Route("GET", base, self.list, "What was spent", CostQuery),
            Route(
                "GET", f"{base}/summary", self.summary, "What was spent this month", SummaryQuery
            ),
            Route("GET", f"{base}/daily", self.daily, "What was spent on each day", DailyQuery),
        ]

    async def list(self, request: web.Request) -> web.Response:
        query = parse_query(CostQuery, request)
        today = self._costs.today
        period = choose_period(today, query.period, query.start_date, query.end_date)
        if query.session_id is not None:
            total = await self._costs.of_session(query.session_id, query.consumer_id, period)
            return json_response(
                {"session_id": query.session_id, "total_cost": total, "currency": CURRENCY}
            )
        return await self._sum_up(period or month_of(today), query.consumer_id)

    async def summary(self, request: web.Request) -> web.Response:
        query = parse_query(SummaryQuery, request)
        return await self._sum_up(month_of(self._costs.today), query.consumer_id)

    async def _sum_up(self, period: Period, consumer_id: str | None) -> web.Response:
        summary = await self._costs.summary(period, consumer_id)
        live = await self._costs.live(consumer_id)
        return json_response(
            {
                "consumer_id": consumer_id or "",
                "currency": CURRENCY,
                **_present(summary),
                **_present_live(live),
                **_present_period(period),
            }
        )

    async def daily(self, request: web.Request) -> web.Response:
        query = parse_query(DailyQuery, request)
        period = choose_period(self._costs.today, None, query.start_date, query.end_date)
        series = await self._costs.daily(period, query.consumer_id, query.session_id)
        return json_response(
            {
                "consumer_id": query.consumer_id or "",
                "total_cost": series.total_cost,
                "currency": CURRENCY,
                "days": [_present_day(day) for day in series.days],
                "count": len(series.days),
                **_present_period(series.period),
            }
        )


def _present(summary: Summary) -> dict[str, Any]:
    return {
        "total_cost": summary.total_cost,
        "session_count": summary.session_count,
        "hours_used": summary.hours_used,
        "by_provider": summary.by_provider,
        "by_gpu_type": summary.by_gpu_type,
    }


def _present_live(live: LiveCosts) -> dict[str, Any]:
    """What runs at this moment, whatever the period is."""
    return {
        "live_sessions": live.sessions,
        "live_cost": live.cost,
        "burn_per_hour": sum(live.burn_per_hour.values(), Decimal(0)),
    }


def _present_day(day: Summary) -> dict[str, Any]:
    return {"date": day.period.begins_at.date().isoformat(), **_present(day)}


def _present_period(period: Period) -> dict[str, Any]:
    """Its end is excluded: a month ends where the next one begins."""
    return {"period_start": period.begins_at, "period_end": period.ends_at}
