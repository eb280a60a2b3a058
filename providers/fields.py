"""Reading one field of a foreign row: what cannot be true is unknown, never an error.

A number may come as text, a whole number with a fraction, and anything as null.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

LONGEST_DETAIL = 300

_LONGEST_READ = 10_000
"""Characters of a foreign text that are looked at."""
_LARGEST = Decimal(10**15)
"""Above it no number of the marketplace makes sense, and arithmetic may overflow."""
_HIGHEST_PORT = 65_535
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"(?=.{{1,253}}$)(?:{_LABEL}\.)*(?![0-9]+$){_LABEL}")
_UNREACHABLE = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12"),
        *(
            "192.168.0.0/16",
            "224.0.0.0/3",
            "::/128",
            "::ffff:0:0/96",
            "fc00::/7",
            "fe80::/10",
            "ff00::/8",
        ),
    )
)
"""Private to the host's network, or nobody's. Loopback is left: it is this very machine."""
_EARLIEST = datetime(2010, 1, 1, tzinfo=UTC)
_IDENTITY = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SECRET = re.compile(r"(?i)(?<=bearer )\S+|\b[0-9a-f]{48,}\b")
_FLAGS = {"true": True, "false": False, "1": True, "0": False}

Row = Mapping[str, Any]


def as_row(value: object) -> Row | None:
    """The value, if it is an object."""
    return value if isinstance(value, Mapping) else None


def text(row: Row, name: str) -> str | None:
    """A text that says something, without the white space around it."""
    value = row.get(name)
    return value.strip() or None if isinstance(value, str) else None


def verbatim(row: Row, name: str) -> str | None:
    """A text exactly as it is told, which must be that of a label; None where it is empty."""
    value = row.get(name)
    return value if isinstance(value, str) and value else None


def word(row: Row, name: str) -> str | None:
    """A text of the marketplace's own vocabulary."""
    value = text(row, name)
    return value.lower() if value else None


def number(row: Row, name: str) -> Decimal | None:
    """A finite number of a sensible size, without the noise of binary floats."""
    return as_number(row.get(name))


def as_number(value: object) -> Decimal | None:
    """The same for a bare value."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, int) and abs(value) > _LARGEST:
        return None  # its digits need not be counted
    try:
        result = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return result if result.is_finite() and abs(result) <= _LARGEST else None


def whole(row: Row, name: str) -> int | None:
    """A number rounded down."""
    value = number(row, name)
    return None if value is None else math.floor(value)


def positive(row: Row, name: str) -> Decimal | None:
    """A number above zero, as prices are."""
    value = number(row, name)
    return value if value is not None and value > 0 else None


def count(row: Row, name: str) -> int | None:
    """A number rounded down, one at least."""
    value = whole(row, name)
    return value if value is not None and value > 0 else None


def flag(row: Row, name: str) -> bool | None:
    """True or false, also spelt as text or as 1 and 0."""
    value = row.get(name)
    if isinstance(value, bool | int | str):
        return _FLAGS.get(str(value).strip().lower())
    return None


def identity(row: Row, name: str) -> str | None:
    """What can name something and stand in a path: a whole number, or a plain word."""
    value = row.get(name)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    if isinstance(value, int) and not 0 <= value <= _LARGEST:
        return None
    found = _IDENTITY.fullmatch(str(value).strip())
    return found[0] if found else None


def instant(row: Row, name: str, now: datetime) -> datetime | None:
    """Seconds since the epoch, or ISO text; None where it lies in the future of `now`."""
    seconds = number(row, name)
    try:
        if seconds is not None:
            found = datetime.fromtimestamp(float(seconds), UTC)
        else:
            found = datetime.fromisoformat(text(row, name) or "")
            found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return found if _EARLIEST <= found <= now + timedelta(days=1) else None


def port_number(value: object) -> int | None:
    """The number of a port, also as text."""
    found = value if isinstance(value, Decimal) else as_number(value)
    if found is None or found % 1 or not 0 < found <= _HIGHEST_PORT:
        return None
    return int(found)


def public_host(name: str | None) -> str | None:
    """An address or a name that could lead somewhere from here."""
    try:
        address = ipaddress.ip_address(name or "")
    except ValueError:
        return name if name and _NAME.fullmatch(name.lower()) else None
    return None if any(address in network for network in _UNREACHABLE) else name


def cleaned(value: object, secret: str = "") -> str:
    """Foreign words for people: printable, on one line, short, and without a credential."""
    if not isinstance(value, str):
        return ""
    value = value[:_LONGEST_READ]
    if secret:
        value = value.replace(secret, "***")
    printable = "".join(c if c.isprintable() else " " for c in _SECRET.sub("***", value))
    line = " ".join(printable.split())
    return line if len(line) <= LONGEST_DETAIL else line[: LONGEST_DETAIL - 1] + "…"
