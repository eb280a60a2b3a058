"""What the broker has written down, read from its database by somebody else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from broker.store import schema
from broker.store.connections import BUSY_TIMEOUT

Row = Mapping[str, Any]
"""A row by the names of its columns, instants aware."""


@dataclass(frozen=True)
class Records:
    """The rows of one reading, in one transaction."""

    sessions: Sequence[Row]
    attempts: Sequence[Row]
    billed: Mapping[tuple[str, int], timedelta]
    """Session and attempt -> for how long it was billed."""

    @property
    def live(self) -> list[Row]:
        """The sessions that are not final."""
        return [row for row in self.sessions if row["status"] not in {"stopped", "failed"}]


def read(database: Path, now: datetime) -> Records:
    """Read everything as it is now; `now` by the broker's clock."""
    engine = sa.create_engine(f"sqlite:///{database}", connect_args={"timeout": BUSY_TIMEOUT})
    try:
        with engine.connect() as connection:
            sessions, attempts, accruals = (
                [dict(row) for row in connection.execute(sa.select(table)).mappings()]
                for table in (schema.sessions, schema.attempts, schema.accruals)
            )
    finally:
        engine.dispose()
    billed: dict[tuple[str, int], timedelta] = {}
    for row in accruals:
        of = row["session_id"], row["attempt"]
        span = (row["ends_at"] or now) - row["begins_at"]
        billed[of] = billed.get(of, timedelta()) + span
    return Records(sessions, attempts, billed)
