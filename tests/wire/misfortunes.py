"""Plans of what goes wrong at a simulated service, and the words that mean the same at every one.

A service has words of its own beside these; its `Vocabulary` says of what kind each is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

BOOT = "boot"
"""The operation that stands for the life of a machine that is being created."""


class Common(StrEnum):
    """What can go wrong with any call of any service."""

    SLOW = "slow"
    """`delay` passes first."""
    HANGS = "hangs"
    """Nothing is done and nothing answered, until the client gives up."""
    RESET = "reset"
    """Nothing is done, and the connection drops."""
    HTML = "html"
    """Status 502, or `status`, with a page of HTML."""
    ANSWER = "answer"
    """Exactly `status` and `text`."""
    # It is done, but the answer is spoilt.
    REPLY_RESET = "reply_reset"
    REPLY_HANGS = "reply_hangs"
    REPLY_BAD_GATEWAY = "reply_bad_gateway"
    TRUNCATED = "truncated"
    """The first half of the right body."""
    HUGE = "huge"
    """50 MB of JSON."""
    CHARSET = "charset"
    """A Content-Type with `; charset=utf-8`."""


INSTEAD = frozenset({Common.SLOW, Common.HANGS, Common.RESET, Common.HTML, Common.ANSWER})
SPOILT = frozenset(Common) - INSTEAD
UNANSWERED = frozenset({Common.HANGS, Common.RESET, Common.REPLY_RESET, Common.REPLY_HANGS})
"""With these, the client gets no answer at all."""


@dataclass(frozen=True)
class Vocabulary:
    """The words of one service. What is in none of these spoils the life of a new machine."""

    instead: Collection[str] = INSTEAD
    """Something happens instead of what was asked for."""
    spoilt: Collection[str] = SPOILT
    """It is done, but the answer is spoilt."""
    own: Mapping[str, str] = field(default_factory=dict)
    """What only one kind of call can suffer: word -> its operation when no other is named."""
    aspects: Mapping[str, str] = field(default_factory=dict)
    """What of a new machine a word decides, where several words decide the same."""

    def kind(self, word: str) -> str:
        """Of each kind at most one happens to one call or machine."""
        if word in self.instead:
            return "instead"
        if word in self.spoilt:
            return "spoilt"
        return "own" if word in self.own else self.aspects.get(word, word)

    def is_about_boot(self, word: str) -> bool:
        """Whether it is the life of a new machine that it spoils."""
        return not (word in self.instead or word in self.spoilt or word in self.own)


@dataclass(frozen=True)
class Misfortune:
    """One plan: what goes wrong with the next `times` calls, or new machines."""

    word: str
    operation: str | None = None
    """None: the call that the word is about, else any call."""
    times: int = 1
    delay: timedelta = timedelta()
    until: timedelta | None = None
    """After which time it is over again."""
    status: int | None = None
    text: str | None = None
    retry_after: float | None = None
    skip: int = 0
    """That many calls, or machines, go well first."""
    place: str | None = None
    """Only at this location or host, where the service knows of places; None: everywhere."""


class Misfortunes:
    """The plans that are not used up yet, oldest first."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._plans: list[_Plan] = []

    def add(self, *misfortunes: Misfortune) -> None:
        """Plan them."""
        self._plans += [_Plan(one, one.skip, one.times) for one in misfortunes]

    def clear(self) -> None:
        """From now on all goes well."""
        self._plans = []

    def take(self, operation: str, places: Collection[str] = ()) -> Sequence[Misfortune]:
        """What this call suffers: the oldest plan of each kind, once less to come.

        A call can suffer something before, something of its own, and something after; a new
        machine several things that do not contradict each other. `places` are those that the
        call is about.
        """
        taken: dict[str, Misfortune] = {}
        for plan in self._plans:
            one = plan.misfortune
            kind = self._vocabulary.kind(one.word)
            is_here = one.place is None or one.place in places
            if is_here and kind not in taken and self._concerns(one, operation) and plan.is_due():
                taken[kind] = one
        self._plans = [plan for plan in self._plans if plan.left > 0]
        return tuple(taken.values())

    def _concerns(self, one: Misfortune, operation: str) -> bool:
        """Whether a call of this kind can suffer it."""
        is_about_boot = self._vocabulary.is_about_boot(one.word)
        if operation == BOOT or is_about_boot:
            return is_about_boot and operation == BOOT
        planned = one.operation or self._vocabulary.own.get(one.word)
        return planned is None or planned == operation


@dataclass
class _Plan:
    """A misfortune and how often it is still to come."""

    misfortune: Misfortune
    skip: int
    left: int

    def is_due(self) -> bool:
        """Whether it happens now; each call counts."""
        if self.skip > 0:
            self.skip -= 1
            return False
        self.left -= 1
        return True
