"""Costs over HTTP: exact, by session and by period."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from broker.model import Change, Status
from broker.store import Store
from tests.service.conftest import Broker
from tests.service.markets import Client, Site
from tests.service.scenarios import all_sessions, ended, running
from tests.service.store_examples import accrual, add, offer, opened, session

HOUR = timedelta(hours=1)
LAST_OF_FEBRUARY = datetime(2026, 2, 28, 22, 0, tzinfo=UTC)
TODAY = datetime(2026, 3, 14, 8, 0, tzinfo=UTC)


async def bill(
    store: Store, n: int, begins_at: datetime, hours: float | None, **fields: Any
) -> None:
    """The `n`th session, billed from then on; without hours the meter runs."""
    ends_at = None if hours is None else begins_at + hours * HOUR
    ended = {} if hours is None else {"status": Status.STOPPED, "stopped_at": ends_at}
    of = await add(store, session(n, **{"created_at": begins_at, **ended, **fields}))
    price = Decimal("0.45")
    billed = accrual(of, begins_at=begins_at, ends_at=ends_at, price_per_hour=price)
    await store.commit(Change("accept", of, accrual=billed))


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """Three sessions: three hours over the turn of a month, one today, and one that runs."""
    async with opened(tmp_path) as store:
        await bill(store, 1, LAST_OF_FEBRUARY, 3)
        await bill(store, 2, TODAY, 1, consumer_id="other", offer=offer(2, "vastai"))
        await bill(store, 3, TODAY + HOUR, None)
        site = Site(store)
        async with site.client() as one:
            yield one
        await site.close()


async def test_every_way_of_asking_tells_the_same_bill(broker: Broker) -> None:
    """By session, by consumer, by day and in sum; without a machine there is nothing to pay."""
    served = await running(broker, consumer_id="served")
    await broker.fault("wrong_gpu", "boot", times=2)
    _, deceived = await broker.rent(consumer_id="deceived", auto_retry=True, max_retries=1)
    await ended(broker, deceived["session"]["id"])
    await broker.fault("offer_gone", "create")
    assert 503 == (await broker.rent(consumer_id="refused"))[0]
    await broker.call("DELETE", f"/api/v1/sessions/{served['id']}")

    async def told(path: str) -> Decimal:
        _, body = await broker.call("GET", f"/api/v1/costs{path}")
        return Decimal(str(body["total_cost"]))

    sessions = {one["consumer_id"]: one for one in await all_sessions(broker)}
    bills = {name: Decimal(str(one["accrued_cost"])) for name, one in sessions.items()}
    _, summary = await broker.call("GET", "/api/v1/costs/summary")

    assert 2 == len(sessions["deceived"]["attempts"])
    assert (0, True, True) == (bills["refused"], bills["served"] > 0, bills["deceived"] > 0)
    assert bills == {name: await told(f"?session_id={sessions[name]['id']}") for name in bills}
    assert bills == {name: await told(f"?consumer_id={name}") for name in bills}
    assert bills == {name: await told(f"/daily?consumer_id={name}") for name in bills}
    assert sum(bills.values()) == await told("") == await told("/daily") == await told("/summary")
    assert (2, 0, 0) == tuple(
        summary[name] for name in ("session_count", "live_sessions", "burn_per_hour")
    )


async def get(client: Client, path: str, **query: str) -> Any:
    """The body of a good answer."""
    async with client.get(f"/api/v1/{path}", params=query) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def total(client: Client, **query: str) -> float:
    """What a query of costs adds up to."""
    return float((await get(client, "costs", **query))["total_cost"])


async def test_a_session_tells_its_cost(client: Client) -> None:
    """The documentation's figures: three hours at $0.45."""
    body = await get(client, "costs", session_id="sess-0000000001")

    assert body == {"session_id": "sess-0000000001", "total_cost": 1.35, "currency": "USD"}


async def test_a_running_session_costs_until_now(client: Client) -> None:
    """Three hours so far."""
    assert await total(client, session_id="sess-0000000003") == 1.35


async def test_a_sessions_cost_can_be_cut_to_a_period(client: Client) -> None:
    """The parts add up to the whole."""
    one = {"session_id": "sess-0000000001"}

    assert await total(client, **one, end_date="2026-02-28") == 0.9
    assert await total(client, **one, start_date="2026-03-01") == 0.45


async def test_this_month_is_what_nobody_needs_to_name(client: Client) -> None:
    """One hour of the session at the turn of the month, and the two of today."""
    body = await get(client, "costs")

    assert body == {
        "consumer_id": "",
        "total_cost": 2.25,
        "currency": "USD",
        "session_count": 3,
        "hours_used": 5,
        "by_provider": {"simulator": 1.8, "vastai": 0.45},
        "by_gpu_type": {"RTX 4090": 2.25},
        "live_sessions": 1,
        "live_cost": 1.35,
        "burn_per_hour": 0.45,
        "period_start": "2026-03-01T00:00:00.000Z",
        "period_end": "2026-04-01T00:00:00.000Z",
    }
    assert await get(client, "costs/summary") == body
    assert await get(client, "costs", period="monthly", consumer_id="") == body


async def test_a_consumers_costs_are_its_own(client: Client) -> None:
    """Whoever is unknown has spent nothing."""
    body = await get(client, "costs/summary", consumer_id="other")
    nobody = await get(client, "costs/summary", consumer_id="nobody")

    assert (body["consumer_id"], body["total_cost"], body["session_count"]) == ("other", 0.45, 1)
    assert (body["live_sessions"], body["live_cost"], body["burn_per_hour"]) == (0, 0, 0)
    assert (nobody["total_cost"], nobody["by_provider"]) == (0, {})


async def test_what_runs_now_is_told_whatever_the_period_is(client: Client) -> None:
    """A month without cost still says what burns; the live cost is that since the beginning."""
    body = await get(client, "costs", start_date="2025-01-01", end_date="2025-01-31")
    live = ("live_sessions", "live_cost", "burn_per_hour")

    assert (0, 0) == (body["total_cost"], body["session_count"])
    assert [1, 1.35, 0.45] == [body[name] for name in live]


async def test_days_tell_what_each_of_them_has_cost(client: Client) -> None:
    """A row for every day that was asked for, and their sum."""
    body = await get(client, "costs/daily", start_date="2026-02-27", end_date="2026-03-01")
    nothing = {"total_cost": 0, "session_count": 0, "hours_used": 0}
    split = {"by_provider": {}, "by_gpu_type": {}}

    assert body == {
        "consumer_id": "",
        "total_cost": 1.35,
        "currency": "USD",
        "days": [
            {"date": "2026-02-27", **nothing, **split},
            {
                "date": "2026-02-28",
                "total_cost": 0.9,
                "session_count": 1,
                "hours_used": 2,
                "by_provider": {"simulator": 0.9},
                "by_gpu_type": {"RTX 4090": 0.9},
            },
            {
                "date": "2026-03-01",
                "total_cost": 0.45,
                "session_count": 1,
                "hours_used": 1,
                "by_provider": {"simulator": 0.45},
                "by_gpu_type": {"RTX 4090": 0.45},
            },
        ],
        "count": 3,
        "period_start": "2026-02-27T00:00:00.000Z",
        "period_end": "2026-03-02T00:00:00.000Z",
    }


@pytest.mark.parametrize(
    ("query", "first", "count", "total"),
    [
        ({}, "2026-03-01", 14, 2.25),
        ({"consumer_id": "other"}, "2026-03-01", 14, 0.45),
        ({"consumer_id": "nobody"}, "2026-03-01", 14, 0),
        ({"session_id": "sess-0000000001"}, "2026-02-28", 2, 1.35),
        ({"session_id": "sess-0000000003"}, "2026-03-14", 1, 1.35),
        ({"session_id": "sess-0000000001", "start_date": "2026-03-01"}, "2026-03-01", 14, 0.45),
        ({"start_date": "2026-02-28"}, "2026-02-28", 15, 3.15),
        ({"end_date": "2026-02-28"}, "2026-02-01", 28, 0.9),
        ({"start_date": "2026-03-15"}, "2026-03-15", 1, 0),
        ({"start_date": "2026-01-01", "end_date": "2027-01-01"}, "2026-01-01", 366, 3.15),
    ],
)
async def test_the_days_are_this_months_so_far_or_those_that_are_named(
    client: Client, query: dict[str, str], first: str, count: int, total: float
) -> None:
    """A session's are those of its life; a year fits."""
    body = await get(client, "costs/daily", **query)

    assert (first, count, count) == (body["days"][0]["date"], body["count"], len(body["days"]))
    assert total == body["total_cost"] == round(sum(d["total_cost"] for d in body["days"]), 6)


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ({"start_date": "2026-01-01", "end_date": "2027-01-02"}, ["start_date"]),
        ({"start_date": "1970-01-01"}, ["start_date"]),
        ({"start_date": "2026-03-02", "end_date": "2026-03-01"}, ["start_date"]),
        ({"start_date": "yesterday", "end_date": ""}, ["start_date", "end_date"]),
        ({"period": "daily"}, ["period"]),
    ],
)
async def test_a_series_that_cannot_be_told_is_refused(
    client: Client, query: dict[str, str], fields: list[str]
) -> None:
    """More than 366 days, days in the wrong order, and what the route does not know."""
    async with client.get("/api/v1/costs/daily", params=query) as answer:
        body = await answer.json()

    assert (answer.status, body["code"]) == (400, "validation_error")
    assert [detail["field"] for detail in body["details"]] == fields


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"period": "daily"}, 1.8),
        ({"start_date": "2026-02-28", "end_date": "2026-02-28"}, 0.9),
        ({"start_date": "2026-02-28", "end_date": "2026-03-01"}, 1.35),
        ({"start_date": "2026-02-28"}, 3.15),
        ({"end_date": "2026-02-28"}, 0.9),
        ({"end_date": "2026-03-01"}, 0.45),
        ({"start_date": "2027-01-01"}, 0),
        ({"period": "monthly", "start_date": "2026-02-10"}, 0.9),
        ({"period": "daily", "end_date": "2026-03-01"}, 0.45),
        ({"period": "monthly", "start_date": "2026-02-01", "end_date": "2026-02-28"}, 0.9),
        ({"start_date": "1970-01-01", "end_date": "9998-12-31"}, 3.15),
    ],
)
async def test_days_are_utc_and_included(
    client: Client, query: dict[str, str], expected: float
) -> None:
    """A day alone reaches to today, or back to its month's beginning; a period is its own."""
    assert await total(client, **query) == expected


async def test_a_period_that_begins_tomorrow_is_one_day_long(client: Client) -> None:
    """Its first day is its last one, until that is over."""
    body = await get(client, "costs", start_date="2026-03-15")

    assert body["period_start"] == "2026-03-15T00:00:00.000Z"
    assert body["period_end"] == "2026-03-16T00:00:00.000Z"


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ({"start_date": "2026-03-02", "end_date": "2026-03-01"}, ["start_date"]),
        ({"period": "daily", "start_date": "2026-03-01", "end_date": "2026-03-02"}, ["period"]),
        ({"period": "monthly", "start_date": "2026-02-28", "end_date": "2026-03-01"}, ["period"]),
        ({"period": "weekly"}, ["period"]),
        ({"start_date": "2026-02-30"}, ["start_date"]),
        ({"start_date": "20260201", "end_date": "1700000000"}, ["start_date", "end_date"]),
        ({"start_date": "2026-2-1"}, ["start_date"]),
        ({"end_date": "9999-12-31"}, ["end_date"]),
        ({"end_date": "0001-01-01"}, ["end_date"]),
        ({"consumer_id": "x" * 129}, ["consumer_id"]),
        ({"consumer_id": "a\nb"}, ["consumer_id"]),
        ({"session": "sess-1"}, ["session"]),
    ],
)
async def test_a_wrong_parameter_is_named(
    client: Client, query: dict[str, str], fields: list[str]
) -> None:
    """Days that contradict each other or the period are wrong too."""
    async with client.get("/api/v1/costs", params=query) as answer:
        body = await answer.json()

    assert (answer.status, body["code"]) == (400, "validation_error")
    assert [detail["field"] for detail in body["details"]] == fields


@pytest.mark.parametrize("path", ["costs", "costs/daily"])
@pytest.mark.parametrize(
    "query",
    [
        {"session_id": "sess-unknown"},
        {"session_id": "sess-0000000001", "consumer_id": "other"},
    ],
)
async def test_an_unknown_session_or_somebody_elses_is_not_found(
    client: Client, path: str, query: dict[str, str]
) -> None:
    """Costs of nothing are not zero."""
    async with client.get(f"/api/v1/{path}", params=query) as answer:
        assert (answer.status, (await answer.json())["code"]) == (404, "resource_not_found")
