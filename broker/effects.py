"""Every effect that the broker has beyond its own memory, by name: commits and provider calls.

Each is brought about inside `with effect(...)`. A broker may die before and after any of them,
and its next start goes on from what is stored then: the names are the points at which that is
tried out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TypeAlias


class Effect(StrEnum):
    """What is done to the database, to the data folder, or at a provider."""

    # A provider's operations, as in metrics and in a provider's health.
    LIST_OFFERS = "list_offers"
    LIST_INSTANCES = "list_instances"
    GET = "get"
    CREATE = "create"
    DESTROY = "destroy"
    LIST_TEMPLATES = "list_templates"
    BALANCE = "balance"
    ATTACH_KEY = "attach_key"
    DETACH_KEY = "detach_key"

    # Changes of one session: `broker.decide` says what each of them writes.
    RECORD = "record"
    LAUNCH = "launch"
    ACCEPT = "accept"
    ACCEPT_FAILED = "accept-failed"
    REPRICE = "reprice"
    LOSE_REPLY = "lose-reply"
    BURY = "bury"
    REFUSE = "refuse"
    ABANDON = "abandon"
    LOCATE = "locate"
    WAIT = "wait"
    VERIFY = "verify"
    DOOM = "doom"
    RETRY = "retry"
    GIVE_UP = "give-up"
    EXTEND = "extend"
    HOLD = "hold"
    RELEASE = "release"
    WARN = "warn"
    MARK_LOST = "mark-lost"
    LOSE = "lose"
    MARK_IDLE = "mark-idle"
    REPORT_IDLE = "report-idle"
    REAP_IDLE = "reap-idle"
    END = "end"
    ASK_TO_DESTROY = "ask-to-destroy"
    DESTROYING = "destroying"
    DESTROY_AGAIN = "destroy-again"
    DESTROY_IGNORED = "destroy-ignored"
    RUN_ON = "run-on"
    DESTROY_FAILS = "destroy-fails"
    GONE = "gone"
    CONCLUDE = "conclude"
    REISSUE = "reissue"
    NOTE_DETACHED = "note-detached"
    NOTE_WATCHDOG = "note-watchdog"
    WATCHDOG_FAILS = "watchdog-fails"

    # What else is written, beside sessions.
    PREPARE_DATABASE = "prepare-database"
    TAKE_UP_COPY = "take-up-copy"
    FOLLOW_CLOCK = "follow-clock"
    SET_META = "set-meta"
    WRITE_FILE = "write-file"
    ADD_EVENT = "add-event"
    SAVE_SIGHTINGS = "save-sightings"
    PRUNE_FAILURES = "prune-failures"
    PRUNE_CARRIED_OUT = "prune-carried-out"


PROVIDER_CALLS = (
    Effect.LIST_OFFERS,
    Effect.LIST_INSTANCES,
    Effect.GET,
    Effect.CREATE,
    Effect.DESTROY,
    Effect.LIST_TEMPLATES,
    Effect.BALANCE,
    Effect.ATTACH_KEY,
    Effect.DETACH_KEY,
)
"""The effects that are calls of a provider."""


class Moment(StrEnum):
    """On which side of an effect one is."""

    BEFORE = "before"
    """Nothing has been done yet."""
    AFTER = "after"
    """It is done, or it has failed; nobody has been told yet."""


Watcher: TypeAlias = Callable[[Effect, Moment], None]
"""Is told of every effect, before and after it, in whatever thread brings it about."""

_watchers: list[Watcher] = []


@contextmanager
def watch_effects(watcher: Watcher) -> Iterator[None]:
    """Tell `watcher` of every effect of this process meanwhile."""
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


@contextmanager
def effect(name: Effect) -> Iterator[None]:
    """Surrounds whatever brings about the effect `name`, and nothing else."""
    for watcher in _watchers:
        watcher(name, Moment.BEFORE)
    try:
        yield
    finally:
        for watcher in _watchers:
            watcher(name, Moment.AFTER)
