"""Balances that fall below their floor: an event at every fall, and one when that is over."""

from __future__ import annotations

import logging

from broker.decide.funds import Credit, Floor, floor_event
from broker.errors import StoreFailed
from broker.store import Store

log = logging.getLogger(__name__)

_BELOW, _ABOVE = "below", "above"


class FloorWatch:
    """Tells when one account's balance passes its floor; the database knows where it was last."""

    def __init__(self, floor: Floor, store: Store) -> None:
        self._floor = floor
        self._store = store
        self._key = f"balance_floor:{floor.provider}"

    async def look(self, credit: Credit) -> None:
        """Tell of a fall or a recovery; where the database does not work, at the next look."""
        side = _BELOW if self._floor.is_above(credit) else _ABOVE
        try:
            if side != (await self._store.meta(self._key) or _ABOVE):
                await self._store.add_event(floor_event(self._floor, credit))
                await self._store.set_meta(self._key, side)
                self._tell(credit, side)
        except StoreFailed as error:
            provider = self._floor.provider
            log.warning("What became of the balance of %s cannot be written: %s", provider, error)

    def _tell(self, credit: Credit, side: str) -> None:
        if side == _BELOW:
            log.warning(self._floor.shortage(credit))
        else:
            log.info("The balance of %s is above its floor again.", self._floor.provider)
