"""The destructions that fail now, of sessions and of orphans: what health, metrics and doctor tell.

A process that starts knows of none, and asks again for each: what still fails is known at once.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from broker.decide.destruction import Failing, fails_again, is_alarming, told
from broker.decide.pauses import is_news
from broker.errors import StoreUnwritable
from broker.model import Event
from broker.store import Store
from providers.label import parse_label

log = logging.getLogger(__name__)


class Destructions:
    """Remembers every destruction that has met trouble until its machine is gone."""

    def __init__(
        self, store: Store, *, now: Callable[[], datetime], steady: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._now = now
        self._steady = steady
        self._failing: dict[tuple[str, str], Failing] = {}
        self._ended: dict[tuple[str, str], datetime] = {}
        """What was accepted or is gone, written or not -> since when, by the steady clock."""

    def fail(self, trouble: Failing) -> Failing:
        """Note trouble, and return all that is known of this destruction."""
        key = (trouble.provider, trouble.instance_id)
        self._ended.pop(key, None)
        known = self._failing[key] = fails_again(self._failing.get(key), trouble)
        return known

    async def fail_orphan(
        self, provider: str, instance_id: str, label: str, answer: str, since: datetime
    ) -> None:
        """Note trouble with an orphan, and shout now and then: no session tells of it."""
        parsed = parse_label(label)
        session_id = parsed.session_id if parsed else None
        known = self.fail(Failing(provider, instance_id, session_id, True, since, 1, answer))
        if not is_news(known.tries):
            return
        detail = told(known.tries, answer)
        log.error("%s: %s", label, detail, extra={"provider": provider, "action": "destroy"})
        data = {"provider": provider, "instance_id": instance_id, "label": label, "detail": detail}
        with suppress(StoreUnwritable):  # the log has it
            await self._store.add_event(Event("orphan.destroy_failed", self._now(), data=data))

    def accept(self, provider: str, instance_id: str) -> None:
        """The marketplace agrees at last; the machine is not proved gone yet."""
        key = (provider, instance_id)
        self._ended.setdefault(key, self._steady())
        if (known := self._failing.get(key)) is not None:
            self._failing[key] = replace(known, answer="It is accepted, and not proved yet.")

    def succeed(self, provider: str, instance_id: str) -> None:
        """The machine is gone."""
        self._failing.pop((provider, instance_id), None)
        self._ended.setdefault((provider, instance_id), self._steady())

    def ended(self, lasting: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], datetime]:
        """Provider and instance of those whose end was accepted or seen since the last time.

        With the instant by the steady clock. Those of `lasting`, whose end may not be written yet,
        are told of again the next time, the others are forgotten.
        """
        ended = self._ended
        self._ended = {key: at for key, at in ended.items() if key in lasting}
        return ended

    def failing(self, provider: str) -> list[Failing]:
        """Those at one provider, the longest first."""
        found = (one for one in self._failing.values() if one.provider == provider)
        return sorted(found, key=lambda one: (one.since, one.instance_id))

    @property
    def counts(self) -> Mapping[str, int]:
        """Provider -> how many fail now."""
        return Counter(one.provider for one in self._failing.values())

    @property
    def alarms(self) -> list[str]:
        """Where destructions have been failing for so long that somebody has to look: sentences."""
        now = self._now()
        long = [one for one in self._failing.values() if is_alarming(one, now)]
        return [
            f"{provider} does not destroy {count} of our machines, the longest since "
            f"{min(one.since for one in long if one.provider == provider):%Y-%m-%dT%H:%M:%SZ}"
            for provider, count in sorted(Counter(one.provider for one in long).items())
        ]
