"""When what did not work: the excuses of a broker, and how long each of them holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

FULL_DISK, LOCKED, SLOW = "full disk", "locked database", "slow database"
STARVED = "no core to run on"
LIES = frozenset({"empty_list", "partial_list", "answer", "null_instance"})
"""What a marketplace says although it is not so."""
DATABASE_TROUBLES = frozenset({FULL_DISK, LOCKED, SLOW})


@dataclass
class Trouble:
    """Something that was broken on purpose."""

    kind: str
    begins: datetime
    provider: str | None = None
    """None: it concerns the whole broker."""
    ends: datetime | None = None
    """None while it lasts."""

    def concerns(self, provider: str | None) -> bool:
        """Whether it excuses what happens at a provider; None: what happens anywhere."""
        return provider is None or self.provider in {None, provider}

    def overlaps(self, begin: datetime, end: datetime) -> bool:
        """Whether it lasted at some instant of a stretch, both ends included."""
        return self.begins <= end and (self.ends is None or self.ends >= begin)


@dataclass
class Troubles:
    """Everything that was broken so far, by the true clock."""

    now: Callable[[], datetime]
    all: list[Trouble] = field(default_factory=list)

    def begin(self, kind: str, provider: str | None = None) -> Trouble:
        """Note that something is broken from now on."""
        trouble = Trouble(kind, self.now(), provider)
        self.all.append(trouble)
        return trouble

    def end(self, trouble: Trouble, *, after: timedelta = timedelta()) -> None:
        """Note that it works again, or will when `after` has passed."""
        trouble.ends = self.now() + after

    def strike(self, kind: str, provider: str | None = None) -> None:
        """Note something that takes no time."""
        self.end(self.begin(kind, provider))

    def end_all(self) -> None:
        """Note that everything works that did not yet."""
        for one in self.all:
            one.ends = one.ends or self.now()

    def between(
        self, begin: datetime, end: datetime, provider: str | None = None
    ) -> Sequence[Trouble]:
        """What was broken at some instant of a stretch."""
        return [one for one in self.all if one.concerns(provider) and one.overlaps(begin, end)]


def latest(
    due: datetime,
    troubles: Sequence[Trouble],
    *,
    bound: timedelta,
    recovery: timedelta,
) -> datetime | None:
    """Until when what is due at an instant must have been done; None: it has no bound yet.

    `bound` after it is due; where anything is broken before that, `recovery` after all that is
    broken until then works again.
    """
    by = due + bound
    for one in sorted(troubles, key=lambda trouble: trouble.begins):
        if not one.overlaps(due, by):
            continue
        if one.ends is None:
            return None
        by = max(by, one.ends + recovery)
    return by
