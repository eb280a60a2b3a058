"""The list of instances, page by page, with its filters, its order and its rules."""

from __future__ import annotations

import binascii
import json
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from tests.vast_wire.answers import read_parameter
from tests.vast_wire.filters import OPERATORS, in_order, is_match
from tests.vast_wire.fleet import Fleet
from tests.vast_wire.misfortunes import Word
from tests.vast_wire.refusals import invalid
from tests.wire.answers import Body, reply
from tests.wire.gate import own_misfortune

_MOST, _FEWEST = 25, 5
_STORED = frozenset(
    {
        *("id", "label", "actual_status", "intended_status", "cur_state", "next_state"),
        *("gpu_name", "verification", "machine_id", "host_id", "image_uuid", "template_hash_id"),
        *("template_id", "start_date", "end_date", "is_bid"),
    }
)
"""The columns that can be searched and sorted by; the others are computed for the answer."""


def routes(fleet: Fleet) -> list[web.RouteDef]:
    """`/api/v1/instances/`."""

    async def show(request: web.Request) -> web.Response:
        misfortune = own_misfortune(request)
        word = misfortune.word if misfortune else None
        rows = [] if word == Word.EMPTY_LIST else fleet.rows()
        return reply(_spoilt(page_of(rows, request.query), word))

    return [web.get("/api/v1/instances/", show)]


def page_of(rows: Sequence[Body], query: Mapping[str, str]) -> Body:
    """One page of `rows`. Raises `Refused`."""
    filters = _filters(read_parameter(query, "select_filters", {}))
    order = _order(read_parameter(query, "order_by", None))
    found = in_order([row for row in rows if is_match(row, filters)], order)
    start = _start(found, order, query.get("after_token"))
    size = _size(query.get("limit"))
    page, rest = found[start : start + size], found[start + size :]
    columns = read_parameter(query, "select_cols", None)
    return {
        "success": True,
        "instances_found": len(page),
        "total_instances": len(found),
        "label_counts": dict(Counter(row["label"] or "" for row in found)),
        "next_token": _token(page[-1], order) if rest else None,
        "instances": [_selected(row, columns) for row in page],
    }


def _filters(filters: Any) -> Body:
    if not isinstance(filters, dict):
        raise invalid("Error in query parameters: select_filters", "invalid_request")
    for name, condition in filters.items():
        _check_column(name)
        if not isinstance(condition, dict) or not condition.keys() <= OPERATORS:
            raise invalid(f"Error in query parameters: {condition}", "invalid_request")
    return filters


def _order(order: Any) -> list[tuple[str, str]]:
    """The columns to sort by; the id breaks ties."""
    if order is not None and not isinstance(order, list):
        raise invalid("Error in query parameters: order_by", "invalid_request")
    columns = [(str(one["col"]), str(one.get("dir", "asc"))) for one in order or []]
    for column, _ in columns:
        _check_column(column)
    return columns if "id" in dict(columns) else [*columns, ("id", "asc")]


def _check_column(name: str) -> None:
    if name not in _STORED:
        msg = f"Error in query parameters: {name} is not a valid search key"
        raise invalid(msg, "invalid_request")


def _size(limit: str | None) -> int:
    try:
        asked = int(limit) if limit is not None else _MOST
    except ValueError as error:
        raise invalid("Error in query parameters: limit", "invalid_request") from error
    return min(asked, _MOST) if asked > 0 else _FEWEST


def _token(row: Body, order: Sequence[tuple[str, str]]) -> str:
    """Where the next page begins: behind the values of this row."""
    values = {column: row[column] for column, _ in order}
    return b64encode(json.dumps({"values": values}).encode()).decode()


def _start(rows: Sequence[Body], order: Sequence[tuple[str, str]], token: str | None) -> int:
    """The place of the first row behind the token; rows that are gone meanwhile are no matter."""
    if not token:
        return 0
    try:
        values = json.loads(b64decode(token, validate=True))["values"]
        marked = {column: values[column] for column, _ in order}
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise invalid("Invalid pagination token", "invalid_token") from error
    # Equal rows keep their order: the marked one stands before its mark.
    ordered = in_order([*rows, marked], order)
    return next(place for place, row in enumerate(ordered) if row is marked)


def _selected(row: Body, columns: Sequence[str] | None) -> Body:
    if not columns or columns == ["*"]:
        return row
    return {name: row.get(name) for name in columns}


def _spoilt(page: Body, word: str | None) -> Body:
    """What a misfortune makes of a page."""
    rows = page["instances"]
    if word == Word.PARTIAL_LIST:
        return {**page, "instances": rows[:-1], "next_token": None}
    if word == Word.DUPLICATE_ROWS:
        return {**page, "instances": [*rows, *rows]}
    return page
