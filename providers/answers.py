"""What the answers of every marketplace have in common. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from providers.fields import as_number
from providers.http import Answer
from providers.json_text import parse_json

_LONGEST_WAIT = timedelta(hours=1)
_LATEST_DELTA = 10**9
"""A moment of reset above it is an instant, below it seconds from now."""


def decoded(body: str) -> object:
    """The JSON value; None where it is none."""
    try:
        return parse_json(body)
    except ValueError:
        return None


def is_html(answer: Answer) -> bool:
    """A page for people, from an edge in front of the marketplace: no word of its own."""
    return "html" in header(answer.headers, "content-type") or answer.text.lstrip().startswith("<")


def header(headers: Mapping[str, str], name: str) -> str:
    """The value of a header in lower case, however its name is spelt; empty without it."""
    return next((value.lower() for key, value in headers.items() if key.lower() == name), "")


def told_waits(headers: Mapping[str, str], now: datetime) -> Iterable[Decimal | None]:
    """Seconds until one may ask again, in the headers that may tell it."""
    yield as_number(header(headers, "retry-after"))
    yield _until(header(headers, "x-ratelimit-reset"), now)


def first_wait(told: Iterable[Decimal | None], default: timedelta) -> timedelta:
    """The first wait that makes sense, an hour at most; `default` where none does."""
    seconds = next((float(value) for value in told if value is not None and value >= 0), None)
    if seconds is None:
        return default
    return timedelta(seconds=min(seconds, _LONGEST_WAIT.total_seconds()))


def _until(text: str, now: datetime) -> Decimal | None:
    """Seconds until a moment of reset, which may be an instant or a delay."""
    moment = as_number(text)
    if moment is None:
        return None
    return moment - Decimal(str(now.timestamp())) if moment > _LATEST_DELTA else moment
