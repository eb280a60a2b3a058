"""Values as JSON has them, for the data of events, and words as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any


def instant_text(instant: datetime) -> str:
    """RFC 3339 UTC to the millisecond, with Z."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def sentence(words: str) -> str:
    """`words` with the full stop that they may lack; nothing stays nothing."""
    return words if not words or words.endswith((".", "!", "?")) else f"{words}."


def plain(value: object) -> Any:
    """`value` in JSON's types: instants as RFC 3339, durations as seconds, money as numbers."""
    match value:
        case Enum():
            return value.value
        case datetime():
            return instant_text(value)
        case timedelta():
            return round(value.total_seconds(), 3)
        case Decimal():
            return float(round(value, 6))
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(item) for item in value]
        case _:
            return value
