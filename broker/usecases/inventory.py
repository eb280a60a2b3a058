"""What can be rented: one reading per provider, made in the background, shared by all.

Filters, prices and confidence are applied to the readings, never sent to a marketplace:
what one consumer asks for changes nothing for another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from broker.decide.confidence import REMEMBERED, FailureMemory, Troubled
from broker.decide.funds import Purse
from broker.decide.jumps import Jump
from broker.decide.offers import (
    DEFAULT_SORT,
    Filter,
    GpuTypes,
    Listed,
    matches,
    parse_gpu_types,
    sort_listed,
)
from broker.decide.places import Lesson, PlaceMemory, lesson_of_attempt, lesson_of_failure
from broker.decide.select import (
    UNLIMITED,
    Needs,
    check_payable,
    choose,
    needs_of,
    nothing_fits,
    stand_ins,
)
from broker.decide.view import Source, View, view_of
from broker.effects import Effect
from broker.errors import Detail, NoOfferFits, NotFound, ProviderUnavailable
from broker.model import (
    Attempt,
    Change,
    Confidential,
    Criteria,
    Failure,
    Request,
    Session,
    Warned,
)
from broker.store import Store
from broker.usecases.claims import Claims
from broker.usecases.doors import Door, misnamed_provider
from broker.usecases.feed import Ages, Feed, Snapshot
from broker.usecases.patience import FirstPatience
from broker.usecases.readings import Reading, is_ok, reading_of, state_of, warnings_of
from providers.base import Capabilities, Offer, Template

_FIRST_PATIENCE = 5.0
"""Seconds that the first requests of a fresh process wait for the first readings."""

_GONE_FOR = timedelta(hours=1)
"""How long an offer that is listed no more is told from one that never was."""


@dataclass(frozen=True, slots=True)
class Gone:
    """An offer that was listed within the last hour and cannot be rented any more."""

    offer_id: str
    provider: str


class Inventory:
    """The offers of all providers, and which of them our own sessions have taken."""

    def __init__(
        self,
        doors: Mapping[str, Door],
        store: Store,
        *,
        cache_ttl: timedelta,
        backoff_ttl: timedelta,
        now: Callable[[], datetime],
    ) -> None:
        """Readings are repeated when `cache_ttl` old, and left out when `backoff_ttl` old."""
        ages = Ages(refreshed_at=cache_ttl, dropped_at=backoff_ttl)
        self._doors = doors
        self._store = store
        self._now = now
        self._feeds = {
            name: Feed(door, ages, now=now, on_reading=self._note_reading)
            for name, door in sorted(doors.items())
        }
        self._claims = Claims()
        self._memory = FailureMemory()
        self._places = PlaceMemory()
        self._outcomes_noted = 0
        self._last_seen: dict[str, datetime] = {}
        self._view = View()
        self._view_key: tuple[object, ...] = ()
        self._patience = FirstPatience(_FIRST_PATIENCE)

    async def load(self) -> None:
        """Remember what became of offers in the last hour."""
        since = self._now() - REMEMBERED
        failures = await self._store.failures(since)
        lessons = [lesson_of_failure(failure) for failure in failures]
        lessons += [lesson_of_attempt(one) for one in await self._store.verified_attempts(since)]
        self._memory = FailureMemory(failures)
        self._places = PlaceMemory(lesson for lesson in lessons if lesson is not None)
        self._outcomes_noted += 1

    async def refresh(self, provider: str) -> None:
        """Read one market now, or join the reading that is under way."""
        await self._feeds[provider].refresh()

    async def refresh_all(self) -> None:
        """Read every market now."""
        await asyncio.gather(*(feed.refresh() for feed in self._feeds.values()))

    async def refresh_due(self, provider: str) -> None:
        """Read one market where its last reading is old enough. Meant to be called often."""
        feed = self._feeds[provider]
        if feed.is_due(self._now()):
            await feed.refresh()

    def clock_jumped(self, jump: Jump, _: datetime) -> None:
        """A clock tells of every jump."""
        for feed in self._feeds.values():
            feed.clock_jumped(jump.set_by)
        self._claims.clock_set(jump.set_by)

    async def ready(self, provider: str | None = None) -> None:
        """Wait for the first readings, a few seconds at most after the first such wait.

        With a provider, only for its own.
        """
        feeds = self._feeds.values()
        asked = [feed for feed in feeds if provider in (None, feed.name)]
        await self._patience.wait_for(feed.is_read for feed in asked)

    async def close(self) -> None:
        """End the readings that are under way."""
        for feed in self._feeds.values():
            await feed.close()

    @property
    def revision(self) -> tuple[int, ...]:
        """Changes with what is shown: by itself every second, for the ages; at once otherwise."""
        second = int(self._now().timestamp())
        readings = (feed.readings for feed in self._feeds.values())
        return (second, self._claims.version, self._outcomes_noted, *readings)

    def listed(self, gpu_types: GpuTypes | None = None) -> list[Listed]:
        """Everything that can be rented now; without `gpu_types` the cheapest first."""
        return self._claims.free(self._current_view().of(gpu_types))

    def search(self, wanted: Filter, sort: str = DEFAULT_SORT) -> list[Listed]:
        """What can be rented now and passes the filter, in that order."""
        found = [row for row in self.listed(wanted.gpu_types) if matches(row, wanted)]
        is_sorted = sort == DEFAULT_SORT and wanted.gpu_types is None
        return found if is_sorted else sort_listed(found, sort)

    @property
    def gpu_types(self) -> Collection[str]:
        """The GPU types of all offers, taken ones included."""
        return self._current_view().by_gpu_type.keys()

    def find(self, offer_id: str) -> Offer | Gone | None:
        """The offer if it can be rented now, else whether it was listed within the last hour.

        Raises ProviderUnavailable where its provider shows nothing at all for its errors.
        """
        found = self._find(offer_id)
        return found.offer if isinstance(found, Listed) else found

    def get(self, offer_id: str) -> Listed:
        """An offer that can be rented now; raises NotFound, or ProviderUnavailable."""
        found = self._find(offer_id)
        if isinstance(found, Listed):
            return found
        if found is None:
            raise NotFound("There is no such offer: list the inventory for those there are.")
        raise NotFound("The offer is no longer available: list the inventory for others.")

    def _find(self, offer_id: str) -> Listed | Gone | None:
        listed = self._current_view().by_id.get(offer_id)
        if listed is not None and not self._claims.is_taken(listed):
            return listed
        provider = offer_id.partition("-")[0]
        self._require_readable(provider)
        if listed is None and offer_id not in self._last_seen:
            return None
        return Gone(offer_id, provider)

    def _require_readable(self, provider: str) -> None:
        feed = self._feeds.get(provider)
        if feed is not None and feed.usable(self._now()) is None:
            raise ProviderUnavailable(f"{state_of(feed)} Try again in a minute.")

    def misnamed_provider(self, given: Mapping[str, object]) -> Iterable[Detail]:
        """What is wrong with the `provider` among these fields, where no such one is there."""
        return misnamed_provider(self._doors, given)

    def require_offers(self, provider: str | None = None) -> None:
        """Raise ProviderUnavailable where nobody has offers and some provider cannot be read.

        With a provider, only that one matters.
        """
        asked = [feed for feed in self._feeds.values() if provider in (None, feed.name)]
        now = self._now()
        if not any(snapshot.offers for feed in asked if (snapshot := feed.usable(now))):
            self._require_ok(asked, "There are no offers.")

    def require_all(self) -> None:
        """Raise ProviderUnavailable where not every provider's offers are shown."""
        now = self._now()
        hidden = [feed for feed in self._feeds.values() if feed.usable(now) is None]
        self._require_ok(hidden, "Not all offers can be read now.")

    def _require_ok(self, feeds: Iterable[Feed], what: str) -> None:
        now = self._now()
        silent = [state_of(feed) for feed in feeds if not is_ok(feed, now)]
        if silent:
            raise ProviderUnavailable(f"{what} {' '.join(silent)}")

    def readings(self) -> dict[str, Reading]:
        """Of every configured provider."""
        now = self._now()
        return {name: reading_of(feed, now) for name, feed in self._feeds.items()}

    def warnings(self) -> list[Warned]:
        """What a consumer should know of the readings."""
        now = self._now()
        return [warned for feed in self._feeds.values() for warned in warnings_of(feed, now)]

    def choose(
        self,
        request: Request,
        confidential: Confidential | None = None,
        template: Template | None = None,
        purses: Mapping[str, Purse] = UNLIMITED,
    ) -> Offer | None:
        """Claim the cheapest offer that fits the criteria of `request`; None where none does.

        Raises InsufficientFunds where `purses` pay none of those that fit.
        """
        needs = needs_of(request, confidential, template)
        row = self._cheapest(request.criteria, needs, purses)
        if row is None and (dear := self._cheapest(request.criteria, needs, UNLIMITED)):
            check_payable(dear.offer, needs, purses)
        return self._claimed([row] if row else [])

    def nothing_fits(
        self, request: Request, confidential: Confidential, template: Template | None
    ) -> NoOfferFits:
        """Why `choose` found nothing; raises ProviderUnavailable where a market cannot be read."""
        self.require_offers(request.criteria.provider)
        needs = needs_of(request, confidential, template)
        capabilities = self._capabilities()
        return nothing_fits(self.listed(), request.criteria, needs, capabilities, self._now())

    def _cheapest(
        self, criteria: Criteria, needs: Needs, purses: Mapping[str, Purse]
    ) -> Listed | None:
        gpu_types = parse_gpu_types(criteria.gpu_type) if criteria.gpu_type else None
        rows, capabilities = self.listed(gpu_types), self._capabilities()
        return choose(rows, criteria, needs, capabilities, self._now(), purses)

    def stand_in(
        self,
        session: Session,
        attempts: Sequence[Attempt],
        confidential: Confidential | None = None,
        template: Template | None = None,
        purses: Mapping[str, Purse] = UNLIMITED,
    ) -> Offer | None:
        """Claim the best offer that may stand in for those of `attempts`; None without one."""
        request = session.request
        rows = stand_ins(
            self.listed(),
            request,
            needs_of(request, confidential, template),
            [attempt.offer for attempt in attempts],
            self._capabilities(),
            self._now(),
            purses,
        )
        return self._claimed(rows)

    def claim(self, offer: Offer) -> bool:
        """Take an offer for a session before anybody else does; False where it is taken."""
        return self._claims.claim(offer)

    def confirm(self, offer: Offer, at: datetime) -> None:
        """The marketplace knows that the offer is rented, or gone: its next list decides."""
        self._claims.confirm(offer, at)

    def release(self, offer: Offer) -> None:
        """Nothing of ours is on the offer."""
        self._claims.release(offer)

    def vacate(self, offer: Offer, accepted_at: datetime) -> None:
        """The machine that was accepted then is gone; somebody else may have the offer by now."""
        self._claims.vacate(offer, accepted_at)

    def note_failure(self, failure: Failure) -> None:
        """Remember that an offer did not become a working machine."""
        self._memory = self._memory.noting(failure, self._now())
        self._outcomes_noted += 1
        self._learn(lesson_of_failure(failure))

    def session_changed(self, change: Change, _: Session) -> None:
        """A journal tells of every change: failures and machines that work are remembered."""
        if change.failure is not None:
            self.note_failure(change.failure)
        if change.name is Effect.VERIFY and change.attempt is not None:
            self._learn(lesson_of_attempt(change.attempt))

    def troubled(self) -> tuple[Troubled, ...]:
        """The offers that failed lately or are passed over."""
        return self._memory.troubled(self._now())

    def _learn(self, lesson: Lesson | None) -> None:
        if lesson is not None:
            self._places = self._places.noting(lesson, self._now())
            self._outcomes_noted += 1

    def _claimed(self, rows: Iterable[Listed]) -> Offer | None:
        return next((row.offer for row in rows if self._claims.claim(row.offer)), None)

    def _capabilities(self) -> dict[str, Capabilities]:
        return {name: door.capabilities for name, door in self._doors.items()}

    def _current_view(self) -> View:
        now = self._now()
        key = self._key_of_view(now)
        if key != self._view_key:
            usable = [(feed, feed.usable(now)) for feed in self._feeds.values()]
            sources = [Source(s.offers, f.age_factor(now)) for f, s in usable if s is not None]
            self._view = view_of(sources, self._memory, self._places, now)
            self._view_key = key
        return self._view

    def _key_of_view(self, now: datetime) -> tuple[object, ...]:
        feeds = [(feed.generation, feed.age_factor(now)) for feed in self._feeds.values()]
        counting = (self._memory.recent(now), self._places.counting(now))
        return (*feeds, self._outcomes_noted, *counting)

    def _note_reading(self, feed: Feed, last: Snapshot | None, new: Snapshot) -> None:
        """Remember what is listed no more, and let the list decide about confirmed claims."""
        self._claims.read(feed.name, new.taken_at)
        listed = {offer.id for offer in new.offers}
        if last is not None:
            gone = (offer.id for offer in last.offers if offer.id not in listed)
            self._last_seen.update(dict.fromkeys(gone, last.taken_at))
        since = new.taken_at - _GONE_FOR
        self._last_seen = {
            offer_id: seen_at for offer_id, seen_at in self._last_seen.items() if seen_at > since
        }
