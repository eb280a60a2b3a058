"""Scripted misfortunes: what goes wrong in the simulated market, when, and how often.

A misfortune hits calls of the adapter (`list`, `create`, `get`, `destroy`) or machines as
they are made (`boot`, `ssh`). Those of machines become facts of the machine, so that they
survive a restart.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from threading import Lock
from typing import Any, NamedTuple

_MOST_TIMES = 1_000_000
_LONGEST_ID = 128
_LONGEST_SECONDS = timedelta(days=365).total_seconds()
_DURATION = re.compile(r"(?P<amount>\d{1,12}(?:\.\d{1,6})?)(?P<unit>ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_FIELDS = ("fault", "operation", "times", "delay", "offer_id", "session_id")


class Word(StrEnum):
    """What goes wrong."""

    OFFER_GONE = "offer_gone"
    """create: somebody else was faster."""
    SLOW = "slow"
    """A call takes `delay`; a machine boots `delay` later; its SSH answers `delay` late."""
    NEVER_BOOTS = "never_boots"
    """boot: the machine stays starting for ever."""
    REFUSED = "refused"
    """A call is refused; ssh: connections are refused for `delay` after boot, else for ever."""
    KEY_LATE = "key_late"
    """ssh: keys are accepted only `delay` after boot."""
    WRONG_GPU = "wrong_gpu"
    """boot: the machine shows another, smaller GPU."""
    DIES = "dies"
    """boot: the machine works, goes offline `delay` after boot, and is billed on."""
    REPLY_LOST = "reply_lost"
    """create, destroy: done, but the answer never comes."""
    LATE_EFFECT = "late_effect"
    """create: unknown, the machine appears `delay` later; destroy: gone `delay` later."""
    ERROR = "error"
    """The call fails and nothing is done; boot: the machine fails."""
    PARTIAL = "partial"
    """list: the answer is incomplete, and the adapter notices."""
    IGNORED = "ignored"
    """destroy: accepted, and nothing happens."""


class Operation(StrEnum):
    """Where it goes wrong."""

    LIST = "list"
    CREATE = "create"
    GET = "get"
    DESTROY = "destroy"
    BOOT = "boot"
    SSH = "ssh"


def _just(*operations: Operation) -> Mapping[Operation, Operation]:
    """It hits what it is asked of."""
    return {operation: operation for operation in operations}


_CALLS = (Operation.CREATE, Operation.LIST, Operation.GET, Operation.DESTROY)
_EFFECTS = (Operation.CREATE, Operation.DESTROY)
_MACHINE = (Operation.BOOT, Operation.CREATE, Operation.SSH)
_HITS: Mapping[Word, Mapping[Operation, Operation]] = {
    Word.OFFER_GONE: _just(Operation.CREATE),
    Word.SLOW: _just(*_CALLS, Operation.BOOT, Operation.SSH),
    Word.NEVER_BOOTS: dict.fromkeys(_MACHINE, Operation.BOOT),
    Word.REFUSED: _just(*_CALLS, Operation.SSH),
    Word.KEY_LATE: dict.fromkeys(_MACHINE, Operation.SSH),
    Word.WRONG_GPU: dict.fromkeys(_MACHINE, Operation.BOOT),
    Word.DIES: dict.fromkeys(_MACHINE, Operation.BOOT),
    Word.REPLY_LOST: _just(*_EFFECTS),
    Word.LATE_EFFECT: _just(*_EFFECTS),
    Word.ERROR: _just(*_CALLS, Operation.BOOT),
    Word.PARTIAL: _just(Operation.LIST),
    Word.IGNORED: _just(Operation.DESTROY),
}
"""What each word may be asked of, and which operation it then hits; the first is the default.

What can only happen to a machine may also be asked of the creation that makes it.
"""

_USUAL_DELAY = timedelta(seconds=2)
_NEEDS_DELAY = frozenset({Word.SLOW, Word.KEY_LATE, Word.LATE_EFFECT})


@dataclass(frozen=True, slots=True)
class Fault:
    """One misfortune, `times` times."""

    fault: Word
    operation: Operation
    times: int = 1
    delay: timedelta | None = None
    offer_id: str | None = None
    """Only calls and machines of this offer."""
    session_id: str | None = None
    """Only calls and machines of this session."""

    def matches(self, operation: Operation, offer_id: str | None, session_id: str | None) -> bool:
        """Whether it hits a call, or a machine, of this offer and session."""
        return (
            self.operation is operation
            and self.offer_id in (None, offer_id)
            and self.session_id in (None, session_id)
        )


class Problem(NamedTuple):
    """One wrong field."""

    field: str
    message: str


class FaultInvalid(ValueError):
    """This is no misfortune that the simulator knows; `problems` names every wrong field."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{field}: {message}" for field, message in self.problems))


class FaultBook:
    """The misfortunes that are still to come, in the order in which they were asked for.

    Calls take theirs on the event loop, machines theirs in the marketplace's thread.
    """

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._faults = tuple(faults)
        self._lock = Lock()

    @property
    def left(self) -> tuple[Fault, ...]:
        return self._faults

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults += (fault,)

    def clear(self) -> None:
        with self._lock:
            self._faults = ()

    def take(
        self, operation: Operation, *, offer_id: str | None = None, session_id: str | None = None
    ) -> Fault | None:
        """Use up one time of the first misfortune that matches."""
        with self._lock:
            for n, fault in enumerate(self._faults):
                if fault.matches(operation, offer_id, session_id):
                    rest = (replace(fault, times=fault.times - 1),) if fault.times > 1 else ()
                    self._faults = (*self._faults[:n], *rest, *self._faults[n + 1 :])
                    return fault
        return None


def parse_fault(body: object) -> Fault:
    """The misfortune in `body`, a mapping as in JSON or YAML; raises `FaultInvalid`."""
    if not isinstance(body, Mapping):
        raise FaultInvalid([Problem("fault", "a misfortune is an object")])
    parser = _Parser(body)
    fault = parser.fault()
    if parser.problems:
        raise FaultInvalid(parser.problems)
    return fault


def present_fault(fault: Fault) -> dict[str, object]:
    """`fault` as JSON."""
    return {
        "fault": fault.fault,
        "operation": fault.operation,
        "times": fault.times,
        "delay": None if fault.delay is None else _present_delay(fault.delay),
        "offer_id": fault.offer_id,
        "session_id": fault.session_id,
    }


def _present_delay(delay: timedelta) -> str:
    """Text that `parse_fault` reads back."""
    return f"{delay.total_seconds():.6f}".rstrip("0").rstrip(".") + "s"


class _Parser:
    """Reads every field and collects what is wrong with each."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._body = body
        self.problems = [
            Problem(str(name), "there is no such field") for name in body if name not in _FIELDS
        ]

    def fault(self) -> Fault:
        word = self._word()
        operation = self._operation(word)
        fault = Fault(
            fault=word or Word.ERROR,
            operation=operation,
            times=self._times(),
            delay=self._delay(word),
            offer_id=self._id("offer_id"),
            session_id=self._id("session_id"),
        )
        if operation is Operation.LIST and (fault.offer_id or fault.session_id):
            self._wrong("operation", "a list belongs to no offer and to no session")
        return fault

    def _word(self) -> Word | None:
        words = {str(word): word for word in Word}
        word = words.get(str(self._body.get("fault")))
        if word is None:
            self._wrong("fault", f"must be one of {', '.join(words)}")
        return word

    def _operation(self, word: Word | None) -> Operation:
        hits = _HITS[word] if word else {operation: operation for operation in Operation}
        if self._body.get("operation") is None:
            return next(iter(hits.values()))
        asked = {str(operation): hit for operation, hit in hits.items()}
        operation = asked.get(str(self._body["operation"]))
        if operation is None:
            self._wrong("operation", f"must be one of {', '.join(asked)}")
        return operation or Operation.CREATE

    def _times(self) -> int:
        times = self._body.get("times")
        if times is None:
            return 1
        if isinstance(times, bool) or not isinstance(times, int) or not 1 <= times <= _MOST_TIMES:
            self._wrong("times", f"must be a whole number from 1 to {_MOST_TIMES}")
            return 1
        return times

    def _delay(self, word: Word | None) -> timedelta | None:
        text = self._body.get("delay")
        if text is None:
            return _USUAL_DELAY if word in _NEEDS_DELAY else None
        match = _DURATION.fullmatch(text) if isinstance(text, str) else None
        seconds = float(match["amount"]) * _SECONDS[match["unit"]] if match else math.inf
        if seconds > _LONGEST_SECONDS:
            self._wrong("delay", "must be a duration such as 500ms, 30s, 5m or 2h, at most a year")
            return None
        return timedelta(seconds=seconds)

    def _id(self, name: str) -> str | None:
        text = self._body.get(name)
        if text is None:
            return None
        if not isinstance(text, str) or not 0 < len(text) <= _LONGEST_ID:
            self._wrong(name, f"must be a text of 1 to {_LONGEST_ID} characters")
            return None
        return text

    def _wrong(self, field: str, message: str) -> None:
        self.problems.append(Problem(field, message))
