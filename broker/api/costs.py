"""What was spent."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Annotated

from aiohttp import web
from pydantic import AfterValidator, BeforeValidator, Field

from broker.api import shapes
from broker.api.fields import Text
from broker.api.http import Query, json_response, parse_query
from broker.api.routes import Resource, Route, Tag
from broker.decide.money import CURRENCY, LiveCosts, Period, Summary, month_of
from broker.errors import NotFound
from broker.usecases.costs import Costs, Span, choose_period

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_FIRST_DAY, _LAST_DAY = date(1970, 1, 1), date(9998, 12, 31)


def _day(text: object) -> object:
    if not isinstance(text, str) or _DAY.fullmatch(text) is None:
        raise ValueError("must be a day, YYYY-MM-DD")
    return text


def _in_range(day: date) -> date:
    # The bounds of pydantic itself are told as Python writes a date.
    if not _FIRST_DAY <= day <= _LAST_DAY:
        raise ValueError(f"must be a day from {_FIRST_DAY} to {_LAST_DAY}")
    return day


Day = Annotated[date, BeforeValidator(_day), AfterValidator(_in_range)]
Consumer = Annotated[Text | None, BeforeValidator(lambda text: text or None)]


class SummaryQuery(Query):
    """Whose costs to sum up."""

    consumer_id: Consumer = Field(
        None, description="Only this consumer's; empty is all.", json_schema_extra={"minLength": 0}
    )


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


class CostRoutes(Resource):
    """Handlers of `/api/v1/costs`."""

    def __init__(self, costs: Costs) -> None:
        self._costs = costs

    async def list_all(self, request: web.Request) -> web.Response:
        query = parse_query(CostQuery, request)
        today = self._costs.today
        period = choose_period(today, query.period, query.start_date, query.end_date)
        if query.session_id is not None:
            total = await self._costs.of_session(query.session_id, query.consumer_id, period)
            answer: shapes.SessionCost = {
                "session_id": query.session_id,
                "total_cost": total,
                "currency": CURRENCY,
            }
            return json_response(answer)
        return await self._sum_up(period or month_of(today), query.consumer_id)

    async def summary(self, request: web.Request) -> web.Response:
        query = parse_query(SummaryQuery, request)
        return await self._sum_up(month_of(self._costs.today), query.consumer_id)

    async def _sum_up(self, period: Period, consumer_id: str | None) -> web.Response:
        answer: shapes.CostSummary = {
            "consumer_id": consumer_id or "",
            "currency": CURRENCY,
            **_present(await self._costs.summary(period, consumer_id)),
            **_present_live(await self._costs.live(consumer_id)),
            **_present_period(period),
        }
        return json_response(answer)

    async def daily(self, request: web.Request) -> web.Response:
        query = parse_query(DailyQuery, request)
        period = choose_period(self._costs.today, None, query.start_date, query.end_date)
        series = await self._costs.daily(period, query.consumer_id, query.session_id)
        answer: shapes.DailyCosts = {
            "consumer_id": query.consumer_id or "",
            "total_cost": series.total_cost,
            "currency": CURRENCY,
            "days": [_present_day(day) for day in series.days],
            "count": len(series.days),
            **_present_period(series.period),
        }
        return json_response(answer)

    ROUTES = (
        Route(
            method="GET",
            path="/api/v1/costs",
            handler=list_all,
            operation="get_costs",
            tag=Tag.COSTS,
            summary="What was spent",
            description=(
                "Of one session, where `session_id` is given, from its beginning if no period is "
                "named; else the sum over a period, this month if none is named."
            ),
            query=CostQuery,
            answers={200: shapes.CostSummary | shapes.SessionCost},
            errors=(NotFound,),
        ),
        Route(
            method="GET",
            path="/api/v1/costs/summary",
            handler=summary,
            operation="summarise_costs",
            tag=Tag.COSTS,
            summary="What was spent this month",
            query=SummaryQuery,
            answers={200: shapes.CostSummary},
        ),
        Route(
            method="GET",
            path="/api/v1/costs/daily",
            handler=daily,
            operation="list_daily_costs",
            tag=Tag.COSTS,
            summary="What was spent on each day",
            description=(
                "A row for every UTC day, also where nothing was spent. If no day is named, those "
                "of this month so far; of one session, those of its life. At most 366 days."
            ),
            query=DailyQuery,
            answers={200: shapes.DailyCosts},
            errors=(NotFound,),
        ),
    )


def _present(summary: Summary) -> shapes.Cost:
    return {
        "total_cost": summary.total_cost,
        "session_count": summary.session_count,
        "hours_used": summary.hours_used,
        "by_provider": dict(summary.by_provider),
        "by_gpu_type": dict(summary.by_gpu_type),
    }


def _present_live(live: LiveCosts) -> shapes.LiveCost:
    """What runs at this moment, whatever the period is."""
    return {
        "live_sessions": live.sessions,
        "live_cost": live.cost,
        "burn_per_hour": sum(live.burn_per_hour.values(), Decimal(0)),
    }


def _present_day(day: Summary) -> shapes.DayCost:
    return {"date": day.period.begins_at.date().isoformat(), **_present(day)}


def _present_period(period: Period) -> shapes.CostPeriod:
    """Its end is excluded: a month ends where the next one begins."""
    return {"period_start": period.begins_at, "period_end": period.ends_at}
