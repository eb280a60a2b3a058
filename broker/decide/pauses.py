"""How long to wait before something is tried again, and when to tell that it still fails."""

from __future__ import annotations

from datetime import timedelta

from providers.errors import ProviderError, RateLimited

_MOST_STEPS = 16
"""Growth beyond this would pass what a duration can hold."""

_LONGEST_ORDERED = timedelta(hours=1)
"""A marketplace that tells us to wait for longer is asked again all the same."""

_TRIES_THAT_SHOUT = frozenset({1, 3, 10, 30})
_SHOUT_EVERY = 100


def growing(first: timedelta, factor: float, tries: int, longest: timedelta) -> timedelta:
    """The pause after `tries` tries: first `first`, then each time longer, at most `longest`."""
    grown: timedelta = first * factor ** max(min(tries - 1, _MOST_STEPS), 0)
    return min(grown, longest)


def ordered_pause(error: ProviderError) -> timedelta | None:
    """How long the marketplace told us to wait, an hour at most; None where it told nothing."""
    if isinstance(error, RateLimited) and error.retry_after is not None:
        return min(error.retry_after, _LONGEST_ORDERED)
    return None


def is_news(times: int) -> bool:
    """Whether it is time to shout, after something has failed so many times."""
    return times in _TRIES_THAT_SHOUT or times % _SHOUT_EVERY == 0
