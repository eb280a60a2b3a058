"""What a value may be: the types of the settings, each with a sentence for what is wrong.

A parser raises ValueError with that sentence; pydantic collects them.
"""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from broker.config.quantities import parse_duration, parse_percent

_LONGEST_NAME = 128


def database_file(url: str) -> Path:
    """The SQLite file that `url` means. Raises ValueError where it means another database."""
    path = url.removeprefix("sqlite:///")
    if "://" in path:
        raise ValueError("only SQLite is supported: give the path of a file")
    if not path.strip() or path == ":memory:":
        raise ValueError("give the path of a file: rented machines are remembered in it")
    return _resolved(path)


def parse_database_url(value: str) -> str:
    """`value` as it is, if it means a file."""
    database_file(value)
    return value


def parse_word(value: object) -> object:
    """A word of a closed list, whatever its case."""
    return value.strip().lower() if isinstance(value, str) else value


def parse_list(value: object) -> object:
    """A list; one that comes from an environment variable is JSON text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError("must be a list, in an environment variable as JSON") from None


def _parse_secret(value: object) -> SecretStr | None:
    """An empty secret is none: that is how compose files pass on what is not set."""
    if value is None or isinstance(value, SecretStr):
        return value
    if isinstance(value, str):
        secret = value.strip()
        if secret.isascii() and (secret.isprintable() and " " not in secret):
            return SecretStr(secret) if secret else None
        raise ValueError("holds a character that no key has: paste it again")
    raise ValueError("must be text: put it in quotes")


def _parse_http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be an address that begins with https:// or http://")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("must be a plain address, without user, question mark or #")
    return value.rstrip("/")


def parse_name(value: str) -> str:
    """A name that fits on a line; raises ValueError with what is wrong."""
    if not value.strip():
        raise ValueError("is empty: give a value, or remove it")
    if value != value.strip() or not value.isprintable() or len(value) > _LONGEST_NAME:
        raise ValueError(f"must be at most {_LONGEST_NAME} printable characters")
    return value


def _parse_path(value: object) -> object:
    if isinstance(value, str) and not value.strip():
        raise ValueError("is empty: give a path, or remove it")
    return _resolved(value) if isinstance(value, str | Path) else value


def _resolved(path: str | Path) -> Path:
    try:
        return Path(path).expanduser().resolve()
    except RuntimeError as error:
        raise ValueError(str(error)) from None


def _parse_number(value: object) -> object:
    """Yes and no are no numbers, though Python counts with them."""
    if isinstance(value, int | float | str | Decimal) and not isinstance(value, bool):
        return value
    raise ValueError("must be a number")


def _not_negative(value: timedelta) -> timedelta:
    if value < timedelta(0):
        raise ValueError("must not be negative")
    return value


def _above_zero(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("must be longer than 0")
    return value


Duration = Annotated[timedelta, BeforeValidator(parse_duration), AfterValidator(_not_negative)]
Interval = Annotated[timedelta, BeforeValidator(parse_duration), AfterValidator(_above_zero)]
Percent = Annotated[Decimal, BeforeValidator(parse_percent)]
Secret = Annotated[SecretStr | None, BeforeValidator(_parse_secret)]
HttpUrl = Annotated[str, AfterValidator(_parse_http_url)]
Name = Annotated[str, AfterValidator(parse_name)]
FilePath = Annotated[Path, BeforeValidator(_parse_path)]
Count = Annotated[int, BeforeValidator(_parse_number)]
Dollars = Annotated[Decimal, BeforeValidator(_parse_number), Field(ge=0)]
Hours = Annotated[Decimal, BeforeValidator(_parse_number), Field(gt=0, le=8760)]
Pace = Annotated[float, BeforeValidator(_parse_number), Field(ge=0, le=1000, allow_inf_nan=False)]
