"""What happens in a life that chance leads: how often each thing, and how it goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from broker.effects import Effect, Moment
from broker.model import RetryScope
from providers.simulator.faults import Fault, Operation, Word
from tests.lifecycle.course import Course, Luck
from tests.lifecycle.world import LONGEST_DELAY
from tests.simulated.dooms import Death

_MISFORTUNES: Mapping[Operation, Sequence[Word]] = {
    Operation.CREATE: (
        *(Word.OFFER_GONE, Word.REFUSED, Word.ERROR, Word.SLOW, Word.REPLY_LOST),
        *(Word.REPLY_LOST, Word.LATE_EFFECT, Word.LATE_EFFECT, Word.LATE_EFFECT),
    ),
    Operation.BOOT: (Word.NEVER_BOOTS, Word.SLOW, Word.WRONG_GPU, Word.DIES, Word.ERROR),
    Operation.SSH: (Word.KEY_LATE, Word.REFUSED, Word.SLOW),
    Operation.LIST: (Word.ERROR, Word.SLOW, Word.PARTIAL),
    Operation.GET: (Word.ERROR, Word.SLOW),
    Operation.DESTROY: (
        *(Word.ERROR, Word.SLOW, Word.REPLY_LOST),
        *(Word.LATE_EFFECT, Word.IGNORED),
    ),
}
"""What can go wrong; what stands here more than once does so more often."""
_DEADLY = frozenset(Effect) - {
    Effect.LIST_TEMPLATES,
    Effect.BALANCE,
    Effect.ATTACH_KEY,
    Effect.DETACH_KEY,
}
"""The effects that there are with this market."""


def _seconds(*choices: float) -> st.SearchStrategy[timedelta]:
    """One of these spans of time."""
    return st.sampled_from([timedelta(seconds=choice) for choice in choices])


_picks = st.integers(0, 5)
_spans = _seconds(0, 0.2, 2, 5, 20, 70, 200, 400, 700)
_long = _seconds(70, 200, 400, 700)
_patiences = st.sampled_from([None, timedelta(), timedelta(milliseconds=1), timedelta(seconds=2)])
_delays = _seconds(0.5, 5, LONGEST_DELAY.total_seconds())
_downtimes = _seconds(0, 3, 90, 900, 2000)
_deaths = st.one_of(
    st.builds(Death, st.none(), st.sampled_from(Moment), st.integers(0, 25)),
    st.builds(Death, st.sampled_from(sorted(_DEADLY)), st.sampled_from(Moment), st.integers(0, 2)),
)


def _faults(*operations: Operation) -> st.SearchStrategy[Fault]:
    """What may go wrong in these operations."""
    words = [(word, one) for one in operations for word in _MISFORTUNES[one]]
    times = st.sampled_from([1, 1, 1, 2, 5, 30])
    return st.builds(_fault, st.sampled_from(words), times, _delays)


def _fault(what: tuple[Word, Operation], times: int, delay: timedelta) -> Fault:
    return Fault(*what, times, delay)


def _lucks(*operations: Operation) -> st.SearchStrategy[Luck]:
    """What may come with a deed: little by itself, and sometimes two things at once."""
    faults = _faults(*operations)
    return st.one_of(
        st.just(()),
        st.tuples(faults),
        st.tuples(faults, _faults(Operation.LIST, Operation.GET)),
        st.tuples(_deaths),
        st.tuples(faults, _deaths),
    )


_of_launches = _lucks(Operation.CREATE, Operation.CREATE, Operation.BOOT, Operation.SSH)
_of_lists = _lucks(Operation.LIST)
_of_ends = _lucks(Operation.DESTROY, Operation.GET, Operation.LIST)
_labels = st.sampled_from(["", "my-own", "gpub-other-aaaaaaaaaaaa-29540221-1"])

REQUEST: Mapping[str, st.SearchStrategy[Any]] = {
    "consumer_id": st.sampled_from(["ann", "ben"]),
    "reservation": st.sampled_from([timedelta(minutes=n) for n in (3, 8, 20)]),
    "auto_retry": st.booleans(),
    "retry_scope": st.sampled_from(RetryScope),
    "idle_threshold": st.sampled_from([None, None, timedelta(minutes=5)]),
    "managed_access": st.sampled_from([True, True, False]),
}
BEGINNING: Mapping[str, st.SearchStrategy[Any]] = {
    "drift": st.sampled_from(["0s", "30s"]),
    "proves_directly": st.booleans(),
}
_ASKED = {"luck": _of_launches, "patience": _patiences, "then": _spans}

CHANCES: Mapping[str, tuple[int, Mapping[str, st.SearchStrategy[Any]]]] = {
    "pass_by": (2, {"then": _long}),
    "open": (5, {**REQUEST, "offer": st.one_of(st.none(), _picks), **_ASKED}),
    "open_with_key": (2, {**REQUEST, **_ASKED}),
    "repeat": (1, {"which": _picks, "patience": _patiences}),
    "hang_up": (1, {"which": _picks, "then": _spans}),
    "extend": (
        2,
        {
            "which": _picks,
            "minutes": st.sampled_from([1, 5, 15]),
            "luck": _of_lists,
            "then": _spans,
        },
    ),
    "end": (
        4,
        {
            "which": _picks,
            "is_done": st.booleans(),
            "luck": _of_ends,
            "patience": _patiences,
            "then": _spans,
        },
    ),
    "heartbeat": (
        1,
        {"which": _picks, "idle": _seconds(0, 600), "load": st.sampled_from([0.0, 90.0])},
    ),
    "tempt": (4, {"luck": _lucks(*Operation), "downtime": _downtimes, "then": _spans}),
    "outage": (2, {"is_short": st.booleans(), "then": _spans}),
    "recover": (3, {"then": _long}),
    "lie": (
        4,
        {
            "times": st.integers(1, 6),
            "which": st.one_of(st.none(), _picks),
            "denials": st.sampled_from([0, 0, 1]),
            "then": _spans,
        },
    ),
    "lag": (2, {"times": st.integers(1, 6), "by": _delays, "then": _spans}),
    "delete_by_hand": (2, {"which": _picks, "then": _spans}),
    "rent_by_hand": (1, {"label": _labels}),
    "duplicate": (1, {"which": st.one_of(st.none(), _picks), "then": _spans}),
    "jump": (1, {"span": _seconds(-60, -5, 5, 60), "then": _spans}),
    "restart": (1, {"downtime": _downtimes}),
}
"""Happening -> how often, compared with the others, and how it goes. The dullest comes first."""


@dataclass(frozen=True)
class Happening:
    """Something that happens in a life: a method of `Course` with its arguments."""

    name: str
    details: Mapping[str, Any]

    def befall(self, course: Course) -> None:
        """Let it happen."""
        getattr(course, self.name)(**self.details)

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{name}={one!r}' for name, one in self.details.items())})"


def _details(name: str) -> st.SearchStrategy[Happening]:
    _, details = CHANCES[name]
    return st.builds(Happening, st.just(name), st.fixed_dictionaries(dict(details)))


def happenings() -> st.SearchStrategy[Happening]:
    """One of all, by chance."""
    weighted = [name for name, (weight, _) in CHANCES.items() for _ in range(weight)]
    return st.sampled_from(weighted).flatmap(_details)
