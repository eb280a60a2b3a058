"""What the marketplace really said: every answer that tells which machines there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import zip_longest

from broker.model import Witness
from providers.base import Instance


@dataclass(frozen=True, slots=True)
class Answer:
    """The marketplace was asked at this instant, of true time, and knew these machines."""

    asked_at: datetime
    about: str | None
    """The machine that was asked for; None: all of them."""
    ids: frozenset[str]
    labels: frozenset[str | None]

    @property
    def by(self) -> Witness:
        return Witness.LIST if self.about is None else Witness.LOOKUP

    def denies(self, instance_id: str) -> bool:
        """Whether it says that there is no such machine."""
        return self.about in (None, instance_id) and instance_id not in self.ids


@dataclass
class Answers:
    """All of them, and how far the clock of the brokers was ahead meanwhile."""

    given: list[Answer] = field(default_factory=list)
    """In the order in which they came."""
    ahead: list[tuple[datetime, timedelta]] = field(default_factory=list)
    """True instant -> how far from then on."""

    def note(self, asked_at: datetime, about: str | None, found: Sequence[Instance]) -> None:
        """The marketplace has answered so."""
        ids, labels = frozenset(one.id for one in found), frozenset(one.label for one in found)
        self.given.append(Answer(asked_at, about, ids, labels))

    def lists(self, since: datetime, until: datetime) -> list[Answer]:
        """The lists that were asked for in that stretch of true time, in this order."""
        found = [one for one in self.given if one.about is None and since <= one.asked_at <= until]
        return sorted(found, key=lambda one: one.asked_at)

    def denials(self, instance_id: str, by: Witness) -> list[Answer]:
        """Those that say, so asked, that there is no such machine."""
        return [one for one in self.given if one.by is by and one.denies(instance_id)]

    def latest(self, wall: datetime) -> datetime:
        """The last true instant at which the brokers' clock showed this."""
        return max(self._instants(wall))

    def earliest(self, wall: datetime) -> datetime:
        """The first such instant."""
        return min(self._instants(wall))

    def _instants(self, wall: datetime) -> Iterator[datetime]:
        """The instants at which it did; more than one where the clock was set back."""
        ends = [since for since, _ in self.ahead[1:]]
        for (since, ahead), until in zip_longest(self.ahead, ends):
            instant = wall - ahead
            if since <= instant and (until is None or instant <= until):
                yield instant
