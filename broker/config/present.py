"""The settings as people may see them: every value in the form it is written, no secret."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from broker.config.quantities import present_duration, present_percent
from broker.config.settings import Settings

_PERCENTAGES = frozenset({"price_tolerance"})


def present_settings(settings: Settings) -> dict[str, Any]:
    """The settings as nested JSON values, secrets masked: `{"server": {"port": 8080, …}, …}`."""
    return _present_section(settings)


def _present_section(section: BaseModel) -> dict[str, Any]:
    return {name: _present_value(name, value) for name, value in section}


def _present_value(name: str, value: object) -> object:
    match value:
        case BaseModel():
            return _present_section(value)
        case SecretStr():
            return "***"
        case timedelta():
            return present_duration(value)
        case Decimal() if name in _PERCENTAGES:
            return present_percent(value)
        case Decimal() | float():
            return int(value) if value == int(value) else float(value)
        case Path():
            return str(value)
        case tuple():
            return [dict(item) for item in value]
        case _:
            return value
