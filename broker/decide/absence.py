"""When it is proved that an instance is gone: what the provider said, and how it was asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from broker.model import Attempt, Witness

APART = timedelta(seconds=1)
"""So far apart the same question has to be asked to give two observations."""

_ENOUGH = 2
_ENOUGH_OF_ITSELF = 3
"""Of an instance that nothing of ours can have ended."""


_WORDS = {
    Witness.LIST: "a complete list was without it",
    Witness.LOOKUP: "asked for it alone, the provider did not have it",
}


@dataclass(frozen=True, slots=True)
class Observation:
    """The provider was asked at this instant, and did not have the instance."""

    at: datetime
    steadily_at: datetime
    """The same by the steady clock: to be compared with other observations."""
    by: Witness


@dataclass(frozen=True, slots=True)
class Proof:
    """The two observations that an instance is gone."""

    first: Observation
    second: Observation

    @property
    def words(self) -> str:
        """The proof for people."""
        return f"{_WORDS[self.first.by]}; then {_WORDS[self.second.by]}"


def observe(seen: Sequence[Observation], new: Observation) -> tuple[Observation, ...]:
    """All observations in a row, with `new` if it tells more than they do.

    The same question soon after may get an answer from memory.
    """
    is_another = all(
        new.by is not one.by or new.steadily_at - one.steadily_at >= APART for one in seen
    )
    return (*seen, new) if is_another else tuple(seen)


def proof_of(seen: Sequence[Observation], *, may_be_destroyed: bool) -> Proof | None:
    """What these observations in a row prove; None while it is not enough.

    Unless something of ours may have ended the instance, it takes one more to believe it.
    """
    if len(seen) < (_ENOUGH if may_be_destroyed else _ENOUGH_OF_ITSELF):
        return None
    return Proof(seen[0], seen[-1])


def doubtful_for(attempt: Attempt, settle: timedelta, now: datetime) -> timedelta:
    """For how long no answer without the instance tells anything: it may not be listed yet.

    `settle` is the provider's, `now` by the wall clock.
    """
    if attempt.verified_at is not None or attempt.accepted_at is None:
        return timedelta()
    return min(max(attempt.accepted_at + settle - now, timedelta()), settle)
