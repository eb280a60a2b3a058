"""Durations and percentages as people write them: `500ms`, `1h30m`, `5%`."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal

_UNITS = {
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}
_MICROSECOND = timedelta(microseconds=1)
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_DURATION = re.compile(rf"(?:{_PART.pattern})+")
_PERCENT = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?%")
_BARE_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_ZERO = re.compile(r"0+(?:\.0+)?")


def parse_duration(value: object) -> timedelta:
    """`500ms`, `30s`, `5m`, `2h` or a sum such as `1h30m`; 0 needs no unit.

    Raises ValueError with a sentence for the person who wrote it.
    """
    if isinstance(value, timedelta):
        return value
    text = _as_text(value)
    if _ZERO.fullmatch(text):
        return timedelta(0)
    if _BARE_NUMBER.fullmatch(text):
        raise ValueError(f"{text} has no unit: write {text.lstrip('-')}s or {text.lstrip('-')}m")
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration: write for example 500ms, 30s, 5m or 1h30m")
    parts = (Decimal(number) * (_UNITS[unit] // _MICROSECOND) for number, unit in _parts(text))
    try:
        return timedelta(microseconds=int(sum(parts)))
    except OverflowError:
        raise ValueError(f"{text} is longer than any duration that can be kept") from None


def present_duration(duration: timedelta) -> str:
    """The text that `parse_duration` reads back as the same duration."""
    text, rest = "", duration
    for unit in ("h", "m", "s"):
        count, rest = divmod(rest, _UNITS[unit])
        text += f"{count}{unit}" if count else ""
    milliseconds = Decimal(rest // _MICROSECOND) / 1000
    return text + (f"{milliseconds.normalize():f}ms" if rest else "") or "0s"


def parse_percent(value: object) -> Decimal:
    """`5%` as a fraction (0.05); 0 needs no sign. Raises ValueError with a sentence."""
    if isinstance(value, Decimal):
        return value
    text = _as_text(value)
    if _ZERO.fullmatch(text):
        return Decimal(0)
    match = _PERCENT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a percentage: write for example 5%")
    return Decimal(match[1]) / 100


def present_percent(fraction: Decimal) -> str:
    """The text that `parse_percent` reads back as the same fraction."""
    return f"{(fraction * 100).normalize():f}%"


def _parts(text: str) -> list[tuple[str, str]]:
    return [(match[1], match[2]) for match in _PART.finditer(text)]


def _as_text(value: object) -> str:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value).strip()
    raise ValueError("must be text, for example 30s or 5%")
