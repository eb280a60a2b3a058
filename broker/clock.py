"""The only reader of the wall clock. Everyone else is handed an instant or a `now` callable."""

from __future__ import annotations

from datetime import UTC, datetime


def utcnow() -> datetime:
    """The present instant, aware, in UTC."""
    return datetime.now(UTC)
