"""The market, read in pages: as many searches as a reading, a day and the pace allow."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from providers.base import Offer, OfferList
from providers.errors import BadResponse, ProviderError, RateLimited
from providers.vastai.budget import Budget
from providers.vastai.lanes import search_interval
from providers.vastai.walk import Walk, begin_reading, offer_list, present_search, take_answer

_log = logging.getLogger(__name__)

_FIRST_READING = timedelta(seconds=4)
"""After so long the first reading ends: everybody waits for it."""
_READING = timedelta(seconds=25)
_MOST_SEARCHES = 60
_LONGEST_PAUSE = timedelta(minutes=1)
"""Who has to wait for longer has used up the searches of the day."""
_UNLIMITED = Budget(per_day=10**9, burst=10**6)

Search = Callable[[Mapping[str, object]], Awaitable[object]]


class Market:
    """What is known of the market. It is memory, nothing more: without it, it is read anew."""

    def __init__(
        self, search: Search, now: Callable[[], datetime], *, pace: float, searches_per_day: int
    ) -> None:
        """`search` answers the body of a search; the others are as in the account's options."""
        self._search = search
        self._now = now
        self._interval = search_interval(pace)
        self._budget = Budget(per_day=int(searches_per_day / pace)) if pace else _UNLIMITED
        self._walk = Walk()
        self._is_first = True

    async def read(self) -> OfferList:
        """Read the cheapest offers, and go on where the reading before had to stop.

        Raises what the first search of the reading raises, and `RateLimited` where none may
        be made yet.
        """
        lasts = _FIRST_READING if self._is_first else _READING
        ends_at = _monotonic() + (lasts - self._interval).total_seconds()
        self._walk = begin_reading(self._walk, self._now())
        await self._take_search()
        try:
            while self._walk.floor is not None and self._may_go_on(ends_at):
                await self._take_search()
        except ProviderError as error:
            _log.info("The market of Vast.ai is not read to its end: %s", error)
        self._is_first = False
        return offer_list(self._walk, self._budget.left(self._now()))

    def forget(self, offer: Offer) -> None:
        """The machine of `offer` is rented, or gone: nothing of it can be had."""
        gone = offer.machine_id
        self._walk = replace(
            self._walk,
            seen={
                key: seen
                for key, seen in self._walk.seen.items()
                if key != offer.provider_id and (gone is None or seen.offer.machine_id != gone)
            },
        )

    def _may_go_on(self, ends_at: float) -> bool:
        return (
            _monotonic() < ends_at
            and self._walk.searches < _MOST_SEARCHES
            and self._budget.left(self._now()) > 0
        )

    async def _take_search(self) -> None:
        """Search once, at the floor of the walk."""
        now = self._now()
        self._require_budget(now)
        self._budget = self._budget.spend(now)
        try:
            payload = await self._search(present_search(self._walk.floor or Decimal()))
        except RateLimited as error:
            if error.retry_after is not None and error.retry_after > _LONGEST_PAUSE:
                self._budget = self._budget.close(now + error.retry_after)
            raise
        if not isinstance(payload, Mapping):
            raise BadResponse("The marketplace's answer to a search holds no offers.")
        self._walk = take_answer(self._walk, payload, now)

    def _require_budget(self, now: datetime) -> None:
        if self._budget.left(now) > 0:
            return
        until = self._budget.closed_until
        if until is not None and now < until:
            message = f"The marketplace answers no more searches before {until:%H:%M} UTC."
            raise RateLimited(message, retry_after=until - now)
        pause = timedelta(days=1) / self._budget.per_day
        raise RateLimited("The market was searched as often as is planned.", retry_after=pause)


def _monotonic() -> float:
    return asyncio.get_running_loop().time()
