"""Reading a market of which every answer holds only a part. Pure.

A search answers the cheapest rows from a floor on, so an answer that was cut covers the prices
up to its last row, and the next search begins there (docs/wire/vastai.md, "Searching"). Each
reading begins with the cheapest rows, which are rented first, and then goes on where the one
before had to stop. What was read in earlier readings stays known for a while.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from itertools import pairwise

from providers.base import INCLUDED_DISK_GB, Offer, OfferList
from providers.fields import as_row, number
from providers.vast_market import parse_market
from providers.vastai.wire import PROVIDER

KEPT_FOR = timedelta(minutes=30)
"""How long rows stay known that no later answer covers."""

_MOST_ROWS = 1_000
"""Asked for in vain so far; a marketplace that gives more is walked in fewer steps."""
_STEP = Decimal("0.000001")
"""The least distance of two floors, in USD per hour."""
_NOISE = Decimal("0.001")
"""How far below the floor a row may be shown: prices there are binary floats."""


@dataclass(frozen=True, slots=True)
class Slice:
    """A range of prices that one answer covered."""

    low: Decimal
    high: Decimal | None
    """Not included; None: to the end of the market."""
    is_whole: bool
    """False where the answer may have left out rows of this very range."""
    read_at: datetime


@dataclass(frozen=True, slots=True)
class Seen:
    """An offer, and the price by which the marketplace orders it."""

    offer: Offer
    place: Decimal


@dataclass(frozen=True, slots=True)
class Walk:
    """What is known of the market, and where to search next."""

    seen: Mapping[str, Seen] = field(default_factory=dict, repr=False)
    """By the offer's id there."""
    slices: tuple[Slice, ...] = ()
    """By price, without overlaps."""
    floor: Decimal | None = Decimal()
    """Where the next search of this reading begins; None: the reading has reached the end."""
    cursor: Decimal = Decimal()
    """Where the reading goes on after its first search."""
    searches: int = 0
    """Made in this reading."""
    dropped: int = 0
    """Rows of this reading that could not be understood."""
    largest: int = 0
    """Rows of the largest answer so far: one with as many may have been cut."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """The rows of one search."""

    seen: Mapping[str, Seen]
    dropped: int
    rows: int
    lowest: Decimal | None
    highest: Decimal | None
    is_in_order: bool

    def has_floor(self, floor: Decimal) -> bool:
        """Whether the marketplace began where it was told to."""
        return self.lowest is None or self.lowest >= floor - _NOISE


def present_search(floor: Decimal) -> dict[str, object]:
    """The body that asks for the cheapest offers from `floor` on, with the included disk."""
    return {
        "rentable": {"eq": True},
        "external": {"eq": False},
        "dph_total": {"gte": float(floor)},
        "order": [["dph_total", "asc"]],
        "type": "on-demand",
        "limit": _MOST_ROWS,
        "allocated_storage": INCLUDED_DISK_GB,
    }


def begin_reading(walk: Walk, now: datetime, kept_for: timedelta = KEPT_FOR) -> Walk:
    """The walk at the start of a reading: rows that are too old are forgotten."""
    since = now - kept_for
    return replace(
        walk,
        seen={k: s for k, s in walk.seen.items() if s.offer.fetched_at >= since},
        slices=tuple(part for part in walk.slices if part.read_at >= since),
        floor=Decimal(),
        searches=0,
        dropped=0,
    )


def take_answer(walk: Walk, payload: object, now: datetime) -> Walk:
    """The walk after the search at `walk.floor` was answered with `payload`.

    Raises `BadResponse` where that is no market; the walk then stands as it was.
    """
    floor = walk.floor or Decimal()
    answer = _parse_answer(payload, now)
    walk = replace(
        walk,
        searches=walk.searches + 1,
        dropped=walk.dropped + answer.dropped,
        largest=max(walk.largest, answer.rows),
    )
    is_full = 1 < answer.rows == walk.largest
    if not answer.has_floor(floor) or (is_full and not _can_go_on(answer)):
        # It cannot be told what was left out.
        return replace(walk, seen={**walk.seen, **answer.seen}, floor=None, cursor=Decimal())
    return _advance(_replaced(walk, answer, _slice(answer, floor, now, is_full=is_full)))


def offer_list(walk: Walk, searches_left: int) -> OfferList:
    """The market as far as it is known, the cheapest offer first."""
    offers = sorted(
        (seen.offer for seen in walk.seen.values()),
        key=lambda offer: (offer.price_per_hour, offer.id),
    )
    return OfferList(
        tuple(offers),
        dropped=walk.dropped,
        complete=is_complete(walk),
        detail=_detail(walk, searches_left),
    )


def is_complete(walk: Walk) -> bool:
    """Whether the slices cover every price without a gap."""
    reached: Decimal | None = Decimal()
    for part in walk.slices:
        if reached is None or part.low > reached or not part.is_whole:
            return False
        reached = part.high
    return reached is None


def _parse_answer(payload: object, now: datetime) -> _Answer:
    market = parse_market(payload, provider=PROVIDER, now=now)
    envelope = as_row(payload)
    listed = payload if envelope is None else envelope.get("offers")
    rows = listed if isinstance(listed, list) else []
    told = [number(as_row(row) or {}, "dph_total") for row in rows]
    places = [place for place in told if place is not None]
    return _Answer(
        seen={o.provider_id: Seen(o, _place(o)) for o in market.offers if not o.interruptible},
        dropped=market.dropped,
        rows=len(rows),
        lowest=min(places, default=None),
        highest=max(places, default=None),
        is_in_order=all(b >= a - _NOISE for a, b in pairwise(places)),
    )


def _place(offer: Offer) -> Decimal:
    """The marketplace's own price of the row; computed where it told none."""
    told = number(offer.traits, "dph_total")
    return offer.price_per_hour if told is None else told


def _can_go_on(answer: _Answer) -> bool:
    return answer.highest is not None and answer.is_in_order


def _slice(answer: _Answer, floor: Decimal, now: datetime, *, is_full: bool) -> Slice:
    """What the answer covers: the rest of the market, or the prices below its last row's."""
    if not is_full or answer.highest is None:
        return Slice(floor, None, is_whole=True, read_at=now)
    high = answer.highest.quantize(_STEP, ROUND_FLOOR)
    if high > floor:
        return Slice(floor, high, is_whole=True, read_at=now)
    # So many rows have one price that the floor must be moved past some unread ones.
    return Slice(floor, floor + _STEP, is_whole=False, read_at=now)


def _replaced(walk: Walk, answer: _Answer, new: Slice) -> Walk:
    """The walk with everything in the slice as the answer tells it."""
    kept = {k: seen for k, seen in walk.seen.items() if not _covers(new, seen.place)}
    slices = [part for old in walk.slices for part in _without(old, new)]
    return replace(
        walk,
        seen={**kept, **answer.seen},
        slices=tuple(sorted([*slices, new], key=lambda part: part.low)),
    )


def _covers(part: Slice, place: Decimal) -> bool:
    return part.low <= place and (part.high is None or place < part.high)


def _without(old: Slice, new: Slice) -> list[Slice]:
    """What is left of `old` on both sides of `new`."""
    parts = []
    if old.low < new.low:
        high = new.low if old.high is None else min(old.high, new.low)
        parts.append(replace(old, high=high))
    if new.high is not None and (old.high is None or old.high > new.high):
        parts.append(replace(old, low=max(old.low, new.high)))
    return parts


def _advance(walk: Walk) -> Walk:
    """The walk with its next floor: behind the slice just read, or at the cursor."""
    floor = walk.floor or Decimal()
    high = next(part.high for part in walk.slices if part.low == floor)
    if high is None:
        return replace(walk, floor=None, cursor=Decimal())
    following = max(high, walk.cursor) if walk.searches == 1 else high
    return replace(walk, floor=following, cursor=following)


def _detail(walk: Walk, searches_left: int) -> str:
    dearest = max((seen.offer.price_per_hour for seen in walk.seen.values()), default=Decimal())
    extent = "the whole market" if is_complete(walk) else f"not all, up to ${dearest:.2f} an hour"
    searches = f"{walk.searches} made, {searches_left} left for now"
    return f"Offers known: {len(walk.seen)} ({extent}). Searches: {searches}."
