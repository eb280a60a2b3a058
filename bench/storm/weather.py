"""What goes wrong and when: everything by chance, and the same for the same seed."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from bench.storm.markets import Markets
from bench.storm.target import Target
from bench.storm.troubles import Troubles
from tests import tensordock_wire, vast_wire
from tests.tensordock_wire.misfortunes import VOCABULARY as TENSORDOCK
from tests.vast_wire.misfortunes import VOCABULARY as VAST
from tests.wire.misfortunes import Common, Misfortune, Misfortunes, Vocabulary

_LONGEST_SHIFT = timedelta(minutes=10)
_SILENT = frozenset({Common.HANGS, Common.REPLY_HANGS})
_ENOUGH_ONCE = frozenset({Common.HUGE, *_SILENT})
_SILENCE = timedelta(seconds=60)
"""How long a broker may wait for an answer that never comes."""
_BETWEEN_BLOWS = 0.5
"""Seconds, on the average."""
_CALLS = ("list", "show", "destroy", "create", None)
_FAVOURED = 0.75
"""The share of the misfortunes that are chosen among those that cost machines or sessions."""
_FAVOURITES: Sequence[tuple[str, str | None]] = (
    (Common.REPLY_RESET, "create"),
    (Common.REPLY_BAD_GATEWAY, "create"),
    (Common.TRUNCATED, "create"),
    (Common.SLOW, "create"),
    (Common.APPEARS_LATE, None),
    (Common.EMPTY_LIST, None),
    (Common.PARTIAL_LIST, None),
    (Common.DUPLICATE_ROWS, None),
    (Common.ERROR, "list"),
    (Common.IGNORED, None),
    (Common.LINGERS, None),
    (Common.ERROR, "destroy"),
    (Common.REPLY_RESET, "destroy"),
    (Common.RESET, "show"),
)
_LIES = ("null", "[]", "{}", "", "not json", '{"success": true}', '{"data": {}}', "\x00")
_STATUSES = (500, 502, 503, 504)


_Blow = Callable[[random.Random], Coroutine[Any, Any, None]]
"""Breaks something, and mends it before it returns."""


@dataclass(frozen=True)
class _Market:
    provider: str
    words: Sequence[str]
    vocabulary: Vocabulary


def _words(of: type[Common]) -> Sequence[str]:
    """Everything that a market knows to go wrong."""
    return [str(getattr(of, name)) for name in dir(of) if name.isupper()]


_MARKETS = (
    _Market("vastai", _words(vast_wire.Word), VAST),
    _Market("tensordock", _words(tensordock_wire.Word), TENSORDOCK),
)


class Weather:
    """Storms over a broker and its markets."""

    def __init__(
        self, target: Target, markets: Markets, troubles: Troubles, chance: random.Random
    ) -> None:
        self.counts: Counter[str] = Counter()
        """How often what was done."""
        self._target = target
        self._markets = markets
        self._troubles = troubles
        self._chance = chance
        self._blows: Sequence[tuple[int, _Blow]] = (
            (90, self._misfortune),
            (10, self._blackout),
            (10, self._phantoms),
            (8, self._kill),
            (3, self._stop),
            (4, self._freeze),
            (6, self._jump),
            (5, self._fill_disk),
            (5, self._lock_database),
            (4, self._slow_database),
        )

    async def storm(self, seconds: float) -> None:
        """Strike again and again for so long; when it returns, all that was broken works again."""
        weights = [weight for weight, _ in self._blows]
        async with asyncio.TaskGroup() as group:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while True:
                        ((_, blow),) = self._chance.choices(self._blows, weights)
                        # Of its own: what it draws must not depend on what else happens.
                        group.create_task(blow(random.Random(self._chance.random())))
                        await asyncio.sleep(self._chance.expovariate(1 / _BETWEEN_BLOWS))

    async def _misfortune(self, chance: random.Random) -> None:
        market = chance.choice(_MARKETS)
        one = _chosen(market, chance)
        self.counts[f"{market.provider} {one.word}"] += 1
        plans = self._plans(market.provider)
        if market.vocabulary.is_about_boot(one.word):
            # It spoils the lives of machines, which are no excuse for the calls about them.
            plans.add(one)
            await asyncio.sleep(chance.uniform(2, 8))
            plans.remove(one)
            return
        trouble = self._troubles.begin(one.word, market.provider)
        plans.add(one)
        await asyncio.sleep(chance.uniform(0.5, 6))
        plans.remove(one)
        self._troubles.end(trouble, after=_SILENCE if one.word in _SILENT else one.delay)

    async def _phantoms(self, chance: random.Random) -> None:
        """Machines that nobody is told of, and that nobody finds for a while."""
        market = chance.choice(_MARKETS)
        self.counts[f"{market.provider} phantoms"] += 1
        unseen = timedelta(seconds=chance.choice((2, 5, 9)))
        both = (
            Misfortune(Common.REPLY_RESET, "create", times=4),
            Misfortune(Common.APPEARS_LATE, times=4, delay=unseen),
        )
        trouble = self._troubles.begin("phantoms", market.provider)
        self._plans(market.provider).add(*both)
        await asyncio.sleep(chance.uniform(1, 5))
        for one in both:
            self._plans(market.provider).remove(one)
        self._troubles.end(trouble)

    async def _blackout(self, chance: random.Random) -> None:
        """A market is away altogether."""
        market = chance.choice(_MARKETS)
        word = chance.choice((Common.RESET, Common.ERROR, Common.HTML, Common.RATE_LIMITED))
        self.counts[f"{market.provider} blackout"] += 1
        trouble = self._troubles.begin("blackout", market.provider)
        one = Misfortune(word, times=1_000_000)
        self._plans(market.provider).add(one)
        await asyncio.sleep(chance.uniform(2, 8))
        self._plans(market.provider).remove(one)
        self._troubles.end(trouble)

    def _plans(self, provider: str) -> Misfortunes:
        wire = self._markets.vast if provider == "vastai" else self._markets.tensordock
        return wire.misfortunes

    async def _kill(self, chance: random.Random) -> None:
        self.counts["SIGKILL"] += 1
        await self._target.restart(signal.SIGKILL, chance.choice((0.0, 0.5, 3.0)))

    async def _stop(self, chance: random.Random) -> None:
        self.counts["SIGTERM"] += 1
        await self._target.restart(signal.SIGTERM, chance.choice((0.0, 1.0)))

    async def _freeze(self, chance: random.Random) -> None:
        self.counts["frozen process"] += 1
        await self._target.freeze(chance.uniform(0.5, 6))

    async def _jump(self, chance: random.Random) -> None:
        self.counts["clock jump"] += 1
        by = timedelta(seconds=chance.uniform(1, 120) * chance.choice((-1, 1)))
        if abs(self._target.shifts[-1].ahead + by) > _LONGEST_SHIFT:
            by = -by
        self._target.jump(by)

    async def _fill_disk(self, chance: random.Random) -> None:
        self.counts["full disk"] += 1
        await self._target.fill_disk(chance.uniform(0.5, 6))

    async def _lock_database(self, chance: random.Random) -> None:
        self.counts["locked database"] += 1
        await self._target.lock_database(chance.uniform(0.5, 9))

    async def _slow_database(self, chance: random.Random) -> None:
        self.counts["slow database"] += 1
        await self._target.lock_database(0.3, pause=0.05, times=chance.randint(5, 20))


def _chosen(market: _Market, chance: random.Random) -> Misfortune:
    """Any misfortune of a market."""
    if chance.random() < _FAVOURED:
        word, operation = chance.choice(_FAVOURITES)
    else:
        word, operation = chance.choice(market.words), chance.choice(_CALLS)
    is_own = word in market.vocabulary.own or market.vocabulary.is_about_boot(word)
    return Misfortune(
        word,
        None if is_own else operation,
        times=1 if word in _ENOUGH_ONCE else chance.randint(1, 6),
        delay=timedelta(seconds=round(chance.choice((0.0, 0.3, 0.8, 3.0)), 1)),
        until=chance.choice((None, timedelta(seconds=2))),
        status=chance.choice(_STATUSES) if word in {Common.ERROR, Common.HTML} else None,
        text=chance.choice(_LIES) if word == Common.ANSWER else None,
        retry_after=chance.choice((None, 0.3, 2.0)) if word == Common.RATE_LIMITED else None,
    )
