"""The list of instances at the simulated Vast.ai: pages, filters, order, and what it refuses."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest

from tests.contract.conftest import Clock
from tests.contract.vast_customers import Customer, still_customer
from tests.vast_wire import Misfortune, Word

DESCENDING = [{"col": "label", "dir": "desc"}]


@pytest.fixture
async def customer(tmp_path: Path, clock: Clock) -> AsyncIterator[Customer]:
    """A customer with 60 instances, of which every third has no label."""
    async with still_customer(tmp_path, clock) as somebody:
        for number in range(60):
            label = f"label {number % 7}" if number % 3 else None
            somebody.wire.add_instance(label=label, gpu_name=f"GPU {number % 2}")
        yield somebody


async def page(customer: Customer, **query: Any) -> Any:
    """One page, asked for as the clients do."""
    words = {name: one if isinstance(one, str) else json.dumps(one) for name, one in query.items()}
    text = "&".join(f"{name}={quote_plus(word)}" for name, word in words.items())
    status, body = await customer.listed(f"?{text}")
    assert status == 200, body
    return body


async def pages(customer: Customer, **query: Any) -> list[list[int]]:
    """The ids on every page."""
    found, token = [], {}
    while True:
        body = await page(customer, **query, **token)
        found.append([row["id"] for row in body["instances"]])
        if body["next_token"] is None:
            return found
        token = {"after_token": body["next_token"]}


async def test_a_page_has_25_rows_and_says_how_many_there_are(customer: Customer) -> None:
    """The labels are counted over all pages."""
    body = await page(customer)

    assert (25, 60, 25) == (
        body["instances_found"],
        body["total_instances"],
        len(body["instances"]),
    )
    assert 20 == body["label_counts"][""]
    assert 60 == sum(body["label_counts"].values())


@pytest.mark.parametrize(
    ("query", "sizes"),
    [
        ({}, [25, 25, 10]),
        ({"limit": 100}, [25, 25, 10]),
        ({"limit": 20}, [20, 20, 20]),
        ({"limit": 0}, [5] * 12),
        ({"order_by": DESCENDING}, [25, 25, 10]),
        ({"select_filters": {"label": {"in": [None]}}}, [20]),
        ({"select_filters": {"label": {"eq": "label 1"}}}, [6]),
        ({"select_filters": {"gpu_name": {"eq": "GPU 1"}, "label": {"neq": None}}}, [20]),
        ({"select_filters": {"actual_status": {"in": ["loading"]}}}, [0]),
    ],
)
async def test_the_pages_together_are_the_list(
    customer: Customer, query: Any, sizes: list[int]
) -> None:
    """Nothing is missing, nothing is told twice."""
    found = await pages(customer, **query)

    everything = [one for ids in found for one in ids]
    assert sizes == [len(ids) for ids in found]
    assert len(everything) == len(set(everything))


async def test_a_row_that_goes_between_two_pages_moves_no_other(customer: Customer) -> None:
    """The token is a place in the order, not a number of rows."""
    first = await page(customer)
    for row in first["instances"][-2:]:
        await customer.destroy(row["id"])

    second = await page(customer, after_token=first["next_token"])

    assert first["instances"][-1]["id"] + 1 == second["instances"][0]["id"]


async def test_the_order_is_by_columns_and_then_by_id(customer: Customer) -> None:
    """Nulls come last."""
    ids = [one for found in await pages(customer, order_by=DESCENDING) for one in found]

    labels = {row["id"]: row["label"] for row in customer.wire.instances()}
    keys = [(labels[one] is None, labels[one] or "", one) for one in ids]
    assert [False] * 40 + [True] * 20 == [key[0] for key in keys]
    assert sorted((key[1] for key in keys[:40]), reverse=True) == [key[1] for key in keys[:40]]
    assert all(a[2] < b[2] for a, b in pairwise(keys) if a[:2] == b[:2])


async def test_columns_that_are_asked_for_are_told_also_when_unknown(customer: Customer) -> None:
    """An unknown one is null."""
    body = await page(customer, select_cols=["id", "label", "colour"], limit=1)

    assert [{"id", "label", "colour"}] == [row.keys() for row in body["instances"]]
    assert body["instances"][0]["colour"] is None


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ('select_filters={"dph_total":{"lt":1}}', "invalid_request"),
        ('select_filters={"id":{"like":1}}', "invalid_request"),
        ("select_filters=[]", "invalid_request"),
        ("select_filters={", "invalid_request"),
        ('order_by=[{"col":"num_gpus","dir":"asc"}]', "invalid_request"),
        ("limit=many", "invalid_request"),
        ("after_token=nonsense", "invalid_token"),
        (f"after_token={b64encode(b'[]').decode()}", "invalid_token"),
    ],
)
async def test_what_the_list_does_not_understand_is_refused(
    customer: Customer, query: str, error: str
) -> None:
    """With 400 and a word."""
    status, body = await customer.listed(f"?{query}")

    assert (400, error) == (status, body["error"])


@pytest.mark.parametrize("path", ["/api/v0/instances/", "/api/v0/instances?owner=me"])
async def test_the_old_list_is_retired(customer: Customer, path: str) -> None:
    """Its 410 is no empty list."""
    status, body = await customer.ask("GET", path)

    assert (410, "deprecated_endpoint") == (status, body["error"])


@pytest.mark.parametrize(
    ("word", "rows", "total"),
    [(Word.PARTIAL_LIST, 9, 10), (Word.DUPLICATE_ROWS, 20, 10), (Word.EMPTY_LIST, 0, 0)],
)
async def test_a_list_may_be_odd_once(
    tmp_path: Path, clock: Clock, word: str, rows: int, total: int
) -> None:
    """The next one is right again."""
    async with still_customer(tmp_path, clock) as customer:
        for _ in range(10):
            customer.wire.add_instance()
        customer.wire.misfortunes.add(Misfortune(word))

        bodies = [(await customer.listed())[1] for _ in range(2)]

    told = [(len(body["instances"]), body["total_instances"]) for body in bodies]
    assert [(rows, total), (10, 10)] == told
    assert {None} == {body["next_token"] for body in bodies}
