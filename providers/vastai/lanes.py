"""How often Vast.ai may be asked, per kind of call (docs/wire/vastai.md, "Limits")."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum

from providers.pacing import DESTRUCTIONS_AT_ONCE, Lane, Pacer


class Call(StrEnum):
    """The kinds of calls; each has a limit of its own there."""

    SEARCH = "search"
    CREATE = "create"
    LIST = "list"
    SHOW = "show"
    DESTROY = "destroy"
    KEYS = "keys"
    ATTACH = "attach"
    DETACH = "detach"
    TEMPLATES = "templates"
    USER = "user"


_SECONDS: Mapping[Call, float] = {
    Call.SEARCH: 6.0,
    Call.CREATE: 4.5,
    Call.LIST: 1.0,
    Call.SHOW: 2.0,
    Call.DESTROY: 3.0,
    Call.KEYS: 1.0,
    Call.ATTACH: 1.0,
    Call.DETACH: 2.0,
    Call.TEMPLATES: 3.0,
    Call.USER: 1.0,
}
"""The least time between two calls, at pace 1."""

_MARGIN = 1.05
"""What is sent apart may arrive closer together."""
_CALLS_AT_ONCE = 4


def search_interval(pace: float) -> timedelta:
    """The least time between two searches at this pace."""
    return timedelta(seconds=_SECONDS[Call.SEARCH] * _MARGIN * pace)


def open_pacer(pace: float) -> Pacer:
    """The documented intervals times `pace`; 0 is without any."""
    lanes = {
        call.value: Lane(
            timedelta(seconds=seconds * _MARGIN * pace),
            DESTRUCTIONS_AT_ONCE if call is Call.DESTROY else _CALLS_AT_ONCE,
        )
        for call, seconds in _SECONDS.items()
    }
    return Pacer(lanes)
