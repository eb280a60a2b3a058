"""The filters of Vast.ai's searches: `{"column": {"operator": value}}`, all of which must hold.

Clients that parse a text send numbers as texts, so that a value is read by the type of what it
is compared with. A null is nothing that a comparison holds for; only `eq` and `in` can ask for it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Filters = Mapping[str, Any]

_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
OPERATORS = frozenset({*_COMPARISONS, "eq", "neq", "in", "notin"})


def is_match(row: Mapping[str, Any], filters: Filters) -> bool:
    """Whether every condition holds for the row."""
    return all(
        holds(row.get(column), name, wanted)
        for column, conditions in filters.items()
        if isinstance(conditions, Mapping)
        for name, wanted in conditions.items()
    )


def holds(value: Any, name: str, wanted: Any) -> bool:
    """Whether one condition holds for a value. Raises `KeyError` for an unknown operator."""
    if name in {"in", "notin"}:
        found = any(_is_equal(value, one) for one in wanted)
        return found if name == "in" else not found
    if name in {"eq", "neq"}:
        return _is_equal(value, wanted) is (name == "eq")
    if value is None:
        return False
    try:
        return _COMPARISONS[name](value, as_typed(wanted, value))
    except TypeError:
        return False


def as_typed(wanted: Any, value: Any) -> Any:
    """`wanted` as the type of `value`, as far as it can be read so."""
    if isinstance(value, bool) and isinstance(wanted, str):
        return {"true": True, "false": False}.get(wanted.lower(), wanted)
    if isinstance(value, int | float) and isinstance(wanted, str):
        try:
            return float(wanted)
        except ValueError:
            return wanted
    if isinstance(value, str) and isinstance(wanted, int | float):
        return str(wanted)
    return wanted


def in_order(rows: Sequence[Any], order: Sequence[tuple[str, str]]) -> list[Any]:
    """The rows by every `(column, direction)`, the first counting most; nulls come last."""
    ordered = list(rows)
    for column, direction in reversed(order):
        known = [row for row in ordered if row.get(column) is not None]
        unknown = [row for row in ordered if row.get(column) is None]
        known.sort(key=lambda row: row[column], reverse=direction == "desc")
        ordered = known + unknown
    return ordered


def _is_equal(value: Any, wanted: Any) -> bool:
    return bool(value == as_typed(wanted, value))
