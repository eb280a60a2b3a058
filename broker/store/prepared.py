"""Queries that are compiled once and answered in one trip to the driver's thread.

SQLAlchemy writes the SQL and knows how each column is encoded. Executing through its
engine would take four trips for each query: most of the time of a small read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

import aiosqlite
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.types import TypeEngine

from broker.store.rows import Row

T = TypeVar("T")

_DIALECT: Dialect = sqlite_dialect()


class Prepared(Generic[T]):
    """One compiled query, and what its rows become."""

    def __init__(
        self, query: sa.Select[Any] | sa.CompoundSelect[Any], decode: Callable[[Row], T]
    ) -> None:
        compiled = query.compile(dialect=_DIALECT)
        self.sql = str(compiled)
        self._decode = decode
        self._parameters = [
            (name, _writer(compiled.binds[name].type)) for name in compiled.positiontup or ()
        ]
        self._fixed = compiled.params
        self._columns = [column.key or "" for column in query.selected_columns]
        self._encoded = [
            (column.key or "", read)
            for column in query.selected_columns
            if (read := _reader(column.type)) is not None
        ]

    async def run(
        self, connection: aiosqlite.Connection, given: Mapping[str, object]
    ) -> Iterable[Any]:
        """The rows as the driver has them; `read` understands one. Raises sqlite3.Error."""
        values = {**self._fixed, **given}
        bound = tuple(write(values[name]) for name, write in self._parameters)
        return await connection.execute_fetchall(self.sql, bound)

    def read(self, raw: Iterable[Any]) -> T:
        """The value in one of the driver's rows."""
        row = dict(zip(self._columns, raw, strict=True))
        for name, read in self._encoded:
            if (value := row[name]) is not None:
                row[name] = read(value)
        return self._decode(row)


def _as_it_is(value: Any) -> Any:
    return value


def _writer(kind: TypeEngine[Any]) -> Callable[[Any], Any]:
    return kind.dialect_impl(_DIALECT).bind_processor(_DIALECT) or _as_it_is


def _reader(kind: TypeEngine[Any]) -> Callable[[Any], Any] | None:
    """What decodes a value; None where it is kept as it is."""
    return kind.dialect_impl(_DIALECT).result_processor(_DIALECT, None)
