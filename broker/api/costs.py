"""What was spent."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any

from aiohttp import web
from pydantic import BeforeValidator, Field

from broker.api.http import Query, Route, json_response, parse_query
from broker.api.models import Text
from broker.decide.money import CURRENCY, Summary, month_of
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


class CostQuery(SummaryQuery):
    """Which costs to tell."""

    session_id: Text | None = Field(None, description="Of one session.")
    start_date: Day | None = Field(None, description="The first UTC day.")
    end_date: Day | None = Field(None, description="The last UTC day, included.")
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
        summary = await self._costs.summary(period or month_of(today), query.consumer_id)
        return json_response(_present(query.consumer_id, summary))

    async def summary(self, request: web.Request) -> web.Response:
        query = parse_query(SummaryQuery, request)
        period = month_of(self._costs.today)
        summary = await self._costs.summary(period, query.consumer_id)
        return json_response(_present(query.consumer_id, summary))


def _present(consumer_id: str | None, summary: Summary) -> dict[str, Any]:
    """The summary; its period ends before `period_end`."""
    return {
        "consumer_id": consumer_id or "",
        "total_cost": summary.total_cost,
        "currency": CURRENCY,
        "session_count": summary.session_count,
        "hours_used": summary.hours_used,
        "by_provider": summary.by_provider,
        "by_gpu_type": summary.by_gpu_type,
        "period_start": summary.period.begins_at,
        "period_end": summary.period.ends_at,
    }
