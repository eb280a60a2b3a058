"""Plans of what goes wrong at a simulated service, and the words that mean the same at every one.

A service has words of its own beside these; its `Vocabulary` says of what kind each is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

BOOT = "boot"
"""The operation that stands for the life of a machine that is being created."""


class Common:
    """What can go wrong at any service. A service adds words of its own."""

    # Instead of doing it: any call.
    SLOW = "slow"
    """`delay` passes first."""
    HANGS = "hangs"
    """Nothing is done and nothing answered, until the client gives up."""
    RESET = "reset"
    """Nothing is done, and the connection drops."""
    ERROR = "error"
    """Status 500, or `status`, with a JSON body; with `text` in it, where the service has room."""
    HTML = "html"
    """Status 502, or `status`, with a page of HTML."""
    RATE_LIMITED = "rate_limited"
    """429 with `text` or a body of the usual shape, and `retry_after`."""
    NOT_ALLOWED = "not_allowed"
    """403: the credentials are right, and not for this."""
    ANSWER = "answer"
    """Exactly `status` and `text`."""
    # It is done, but the answer is spoilt: any call.
    REPLY_RESET = "reply_reset"
    REPLY_HANGS = "reply_hangs"
    REPLY_BAD_GATEWAY = "reply_bad_gateway"
    TRUNCATED = "truncated"
    """The first half of the right body."""
    HUGE = "huge"
    """50 MB of JSON."""
    CHARSET = "charset"
    """A Content-Type with `; charset=utf-8`."""
    # The list.
    PARTIAL_LIST = "partial_list"
    """The last machine is missing, and there is no further page."""
    EMPTY_LIST = "empty_list"
    """No rows, whatever there is."""
    DUPLICATE_ROWS = "duplicate_rows"
    # A destruction.
    IGNORED = "ignored"
    """Accepted, and nothing happens."""
    LINGERS = "lingers"
    """It takes `delay`: so long the machine is told of."""
    # The life of a new machine.
    APPEARS_LATE = "appears_late"
    """It is in no answer before `delay` has passed; its creation is answered as usual."""
    KEY_LATE = "key_late"
    """Keys work `delay` later than usual."""
    WRONG_GPU = "wrong_gpu"
    """The driver shows another GPU than was rented."""
    PRICE_RAISED = "price_raised"
    """It costs twice what the offer said."""


INSTEAD = frozenset(
    {
        *(Common.SLOW, Common.HANGS, Common.RESET, Common.ERROR, Common.HTML),
        *(Common.RATE_LIMITED, Common.NOT_ALLOWED, Common.ANSWER),
    }
)
SPOILT = frozenset(
    {
        *(Common.REPLY_RESET, Common.REPLY_HANGS, Common.REPLY_BAD_GATEWAY),
        *(Common.TRUNCATED, Common.HUGE, Common.CHARSET),
    }
)
OWN = {
    **dict.fromkeys((Common.PARTIAL_LIST, Common.EMPTY_LIST, Common.DUPLICATE_ROWS), "list"),
    **dict.fromkeys((Common.IGNORED, Common.LINGERS), "destroy"),
}
UNANSWERED = frozenset({Common.HANGS, Common.RESET, Common.REPLY_RESET, Common.REPLY_HANGS})
"""With these, the client gets no answer at all."""


@dataclass(frozen=True)
class Vocabulary:
    """The words of one service. What is in none of these spoils the life of a new machine."""

    instead: Collection[str] = INSTEAD
    """Something happens instead of what was asked for."""
    spoilt: Collection[str] = SPOILT
    """It is done, but the answer is spoilt."""
    own: Mapping[str, str] = field(default_factory=lambda: OWN)
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

    def remove(self, misfortune: Misfortune) -> None:
        """Let this one happen no more; nothing where it is used up."""
        self._plans = [plan for plan in self._plans if plan.misfortune is not misfortune]

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
