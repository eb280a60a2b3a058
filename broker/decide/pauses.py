"""How long to wait before something is tried again."""

from __future__ import annotations

from datetime import timedelta

_MOST_STEPS = 16
"""Growth beyond this would pass what a duration can hold."""


def growing(first: timedelta, factor: float, tries: int, longest: timedelta) -> timedelta:
    """The pause after `tries` tries: first `first`, then each time longer, at most `longest`."""
    grown: timedelta = first * factor ** max(min(tries - 1, _MOST_STEPS), 0)
    return min(grown, longest)
