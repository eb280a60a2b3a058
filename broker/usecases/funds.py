"""What the accounts can spend: read in the background, beside what live sessions hold of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from broker.decide.funds import Commitment, Credit, Floor, Purse, commitment_of, purse_of
from broker.decide.jumps import Jump
from broker.decide.pauses import ordered_pause
from broker.model import Change, Session
from broker.store import Store
from broker.usecases.doors import Door
from broker.usecases.floors import FloorWatch
from broker.usecases.patience import FirstPatience
from broker.usecases.single_flight import SingleFlight
from providers.errors import ProviderError

log = logging.getLogger(__name__)

_FIRST_PATIENCE = 3.0
"""Seconds that a creation in a fresh process waits for the first readings."""

_SECOND_LOOK_PATIENCE = 3.0
"""Seconds that a request which the credit cannot pay waits for a newer reading."""

_FRESH_FOR = timedelta(seconds=10)
"""A reading this young is not repeated for a request that it refuses."""


class _Teller:
    """The credit of one account, read one at a time."""

    def __init__(self, door: Door, store: Store, now: Callable[[], datetime]) -> None:
        self.credit: Credit | None = None
        """As it was last read; a failure leaves it as it is."""
        self.is_read = asyncio.Event()
        """Whether the first reading is over, be it good or bad."""
        self.floor = Floor(door.name, door.capabilities.balance_floor)
        self._watch = FloorWatch(self.floor, store)
        self._door = door
        self._now = now
        self._is_failing = False
        self._not_before: datetime | None = None
        self._flight = SingleFlight(f"balance-{door.name}", self._read)

    async def refresh(self) -> None:
        """Read the credit now, unless the marketplace asked to be left alone for a while."""
        if self._not_before is None or self._not_before <= self._now():
            await self._flight.join()

    def clock_jumped(self, by: timedelta) -> None:
        """What was read is as old as before."""
        if self.credit is not None:
            self.credit = replace(self.credit, read_at=self.credit.read_at + by)
        if self._not_before is not None:
            self._not_before += by

    async def close(self) -> None:
        """End a reading that is under way."""
        await self._flight.close()

    async def _read(self) -> None:
        begun_at = self._now()
        try:
            amount = await self._door.balance()
        except ProviderError as error:
            self._fail(error)
        except Exception:
            log.exception("The balance of %s cannot be read.", self._door.name)
        else:
            self._recover()
            if amount is not None:
                self.credit = Credit(amount, begun_at)
                await self._watch.look(self.credit)
        finally:
            self.is_read.set()

    def _fail(self, error: ProviderError) -> None:
        if not self._is_failing:
            log.warning("The balance of %s cannot be read: %s", self._door.name, error)
        self._is_failing = True
        ordered = ordered_pause(error)
        if ordered is not None:
            self._not_before = self._now() + ordered

    def _recover(self) -> None:
        if self._is_failing:
            log.info("The balance of %s can be read again.", self._door.name)
        self._is_failing = False
        self._not_before = None


class Funds:
    """The credit of every account that tells it, and what live sessions hold of it."""

    def __init__(
        self, doors: Mapping[str, Door], store: Store, *, now: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._now = now
        self._tellers = {
            name: _Teller(door, store, now)
            for name, door in doors.items()
            if door.capabilities.balance
        }
        self._commitments: dict[str, Commitment] = {}
        self._patience = FirstPatience(_FIRST_PATIENCE)

    async def load(self) -> None:
        """Know what the live sessions cost."""
        overviews = await self._store.overviews(await self._store.open_ids())
        for overview in overviews.values():
            self.hold(overview.session)

    @property
    def providers(self) -> Collection[str]:
        """Those whose accounts tell their credit."""
        return self._tellers.keys()

    async def refresh(self, provider: str) -> None:
        """Read the credit of one account now."""
        await self._tellers[provider].refresh()

    async def refresh_all(self) -> None:
        """Read the credit of every account now."""
        await asyncio.gather(*(teller.refresh() for teller in self._tellers.values()))

    def clock_jumped(self, jump: Jump, _: datetime) -> None:
        """A clock tells of every jump."""
        for teller in self._tellers.values():
            teller.clock_jumped(jump.set_by)

    async def ready(self, provider: str | None = None) -> None:
        """Wait for the first readings, a few seconds at most after the first such wait.

        With a provider, only for its own.
        """
        asked = [one for name, one in self._tellers.items() if provider in (None, name)]
        await self._patience.wait_for(teller.is_read for teller in asked)

    async def look_again(self) -> bool:
        """Read credits that are not quite fresh, and wait for a few seconds.

        For requests that would be refused: somebody may have paid in. False where there is
        nothing newer.
        """
        before = self._credits()
        oldest = self._now() - _FRESH_FOR
        aged = [
            teller
            for teller in self._tellers.values()
            if teller.credit is not None and teller.credit.read_at < oldest
        ]
        with suppress(TimeoutError):
            async with asyncio.timeout(_SECOND_LOOK_PATIENCE):
                await asyncio.gather(*(teller.refresh() for teller in aged))
        return self._credits() != before

    async def close(self) -> None:
        """End the readings that are under way."""
        for teller in self._tellers.values():
            await teller.close()

    def credit(self, provider: str) -> Credit | None:
        """As it was last read; None where the account does not tell, or has not yet."""
        return self._credits().get(provider)

    @property
    def balances(self) -> dict[str, Decimal]:
        """Provider -> USD, of those that are known."""
        return {name: credit.amount for name, credit in self._credits().items()}

    @property
    def floors(self) -> dict[str, Decimal]:
        """Provider -> USD of the balance that nothing is rented for, where that is known."""
        return {name: self._tellers[name].floor.amount for name in self._credits()}

    def shortage(self, provider: str) -> str | None:
        """A sentence about a balance that is below its floor; None where none is known to be."""
        credit = self.credit(provider)
        if credit is None or not credit.is_believed(self._now()):
            return None
        floor = self._tellers[provider].floor
        return floor.shortage(credit) if floor.is_above(credit) else None

    def purses(self, *, without: str | None = None) -> dict[str, Purse]:
        """What every account has left whose credit is known; the others are not limited.

        `without` is a session that holds nothing for once.
        """
        now = self._now()
        commitments = [one for key, one in self._commitments.items() if key != without]
        found = {
            name: purse_of(name, credit, commitments, now, self._tellers[name].floor.amount)
            for name, credit in self._credits().items()
        }
        return {name: purse for name, purse in found.items() if purse is not None}

    def hold(self, session: Session) -> None:
        """Set aside what the session costs until its end, or give it free where it ends."""
        commitment = None if session.is_final else commitment_of(session)
        if commitment is None:
            self.free(session.id)
        else:
            self._commitments[session.id] = commitment

    def free(self, session_id: str) -> None:
        """Nothing is held for the session any more."""
        self._commitments.pop(session_id, None)

    def session_changed(self, _: Change, session: Session) -> None:
        """A journal tells of every change."""
        self.hold(session)

    def _credits(self) -> dict[str, Credit]:
        tellers = self._tellers.items()
        return {name: teller.credit for name, teller in tellers if teller.credit is not None}
