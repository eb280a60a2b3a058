"""Session objects, ready to be sent: what a version of a session says is put into JSON once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import orjson

from broker.api import shapes
from broker.api.http import encode
from broker.api.present import present_session
from broker.decide.money import cost
from broker.model import Accrual, Overview, Version
from broker.store import Store

_MOST_KEPT = 10_000
"""About a kilobyte and a half each."""
_READ_AT_ONCE = 100
"""Sessions presented before others get their turn."""


_COST = b'"accrued_cost":'
"""Before the cost. In a consumer's text the quotes would be escaped, and no label is a number."""


@dataclass(frozen=True, slots=True)
class _Kept:
    version: int
    before: bytes
    """The JSON up to what it has cost, and from there on."""
    after: bytes
    accruals: tuple[Accrual, ...]

    def until(self, now: datetime) -> orjson.Fragment:
        """The JSON with what the session has cost until then."""
        return orjson.Fragment(self.before + encode(_cost(self.accruals, now)) + self.after)


class SessionObjects:
    """Makes session objects. In between the versions of a session only its cost moves."""

    def __init__(self, store: Store, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def one(self, overview: Overview) -> shapes.Session:
        """The session, with what it has cost until now."""
        cost_so_far = _cost(overview.accruals, self._now())
        return present_session(overview.session, overview.attempts, cost_so_far)

    async def many(self, versions: Sequence[Version]) -> list[orjson.Fragment]:
        """Sessions in that order, each at least as new as the version that is given of it.

        They are encoded already.
        """
        known = {asked.id: kept for asked in versions if (kept := self._find(asked)) is not None}
        new = [asked.id for asked in versions if asked.id not in known]
        for first in range(0, len(new), _READ_AT_ONCE):
            page = await self._store.overviews(new[first : first + _READ_AT_ONCE])
            known |= {session_id: self._keep(found) for session_id, found in page.items()}
        now = self._now()
        return [known[asked.id].until(now) for asked in versions]

    def _find(self, asked: Version) -> _Kept | None:
        kept = self._kept.get(asked.id)
        return kept if kept is not None and kept.version >= asked.version else None

    def _keep(self, overview: Overview) -> _Kept:
        session = overview.session
        shown = encode(present_session(session, overview.attempts, Decimal(0)))
        before, after = shown.split(_COST + b"0", 1)
        kept = _Kept(session.version, before + _COST, after, overview.accruals)
        self._kept[session.id] = kept
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return kept


def _cost(accruals: Sequence[Accrual], now: datetime) -> Decimal:
    return sum((cost(accrual, now) for accrual in accruals), Decimal(0))
