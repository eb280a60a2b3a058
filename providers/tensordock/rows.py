"""Reading the rows of TensorDock's lists. Pure."""

from __future__ import annotations

import re

from providers.errors import BadResponse
from providers.fields import Row, as_row, text

_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,63}")


def rows_of(payload: object, name: str) -> list[Row]:
    """The rows of `{"data": {name: [...]}}`; what is no row becomes an empty one.

    Raises `BadResponse` where there is no such list.
    """
    data = as_row((as_row(payload) or {}).get("data")) or {}
    rows = data.get(name)
    if not isinstance(rows, list):
        raise BadResponse(f"The marketplace's answer holds no list of {name}.")
    return [as_row(row) or {} for row in rows]


def model_of(row: Row) -> str | None:
    """The marketplace's own name of a GPU model: `geforcertx4090-pcie-24gb`."""
    name = text(row, "v0Name")
    return name if name and is_model(name) else None


def is_model(name: str) -> bool:
    """Whether a text can be the name of a GPU model."""
    return _MODEL.fullmatch(name) is not None
