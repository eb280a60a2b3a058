"""What the answers of every marketplace have in common. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from providers.errors import ProviderError
from providers.fields import as_number
from providers.http import Answer
from providers.json_text import parse_json

_LONGEST_WAIT = timedelta(hours=1)
_LATEST_DELTA = 10**9
"""A moment of reset above it is an instant, below it seconds from now."""


@dataclass(frozen=True, slots=True)
class Context:
    """What an answer is read with, beside itself."""

    now: datetime
    """UTC."""
    default_wait: timedelta = timedelta()
    """After an answer that asks for patience and does not say how much."""
    secret: str = field(default="", repr=False)
    """The account's key, which no message repeats."""


class Meanings:
    """What the words of a marketplace mean: the first class one of whose patterns is found."""

    def __init__(self, *table: tuple[type[ProviderError], Sequence[str]]) -> None:
        """The patterns are regular expressions; of several classes the first counts."""
        self._table = tuple((kind, re.compile("|".join(words))) for kind, words in table)

    def of(self, words: str) -> type[ProviderError] | None:
        """The meaning of words in lower case; None where they are unknown."""
        return next((kind for kind, pattern in self._table if pattern.search(words)), None)


def decoded(body: str) -> object:
    """The JSON value; None where it is none."""
    try:
        return parse_json(body)
    except ValueError:
        return None


def is_html(answer: Answer) -> bool:
    """A page for people, from an edge in front of the marketplace: no word of its own."""
    return "html" in header(answer.headers, "content-type") or answer.text.lstrip().startswith("<")


def plain_text(body: str) -> str:
    """A body that is words for people; HTML and broken JSON are none."""
    return "" if body.lstrip().startswith(("<", "{", "[", '"')) else body


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
