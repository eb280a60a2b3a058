"""Destructions that meet trouble: since when, how often, and when it is time to shout."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

PATIENCE = timedelta(minutes=1)
"""How long a destruction may meet trouble before somebody has to look at it."""


@dataclass(frozen=True, slots=True)
class Failing:
    """A destruction that has met trouble and is not proved yet."""

    provider: str
    instance_id: str
    session_id: str | None
    """Whose machine it is; of an orphan, the session on its label, which does not hold it."""
    is_orphan: bool
    since: datetime
    """When the destruction was first asked for."""
    tries: int
    """How often there was trouble."""
    answer: str
    """The last trouble, in the marketplace's words or ours."""


def fails_again(before: Failing | None, now: Failing) -> Failing:
    """What is known of a destruction that has met trouble once more."""
    if before is None:
        return now
    return replace(now, since=min(before.since, now.since), tries=before.tries + now.tries)


def told(times: int, trouble: str) -> str:
    """The trouble as a sentence for events and the log."""
    return f"Destroying does not work yet (tried {times} times, and on): {trouble}"


def is_alarming(failing: Failing, now: datetime) -> bool:
    """Whether it has gone on for so long that somebody has to look at it."""
    return now - failing.since >= PATIENCE
