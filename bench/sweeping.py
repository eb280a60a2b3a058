"""Sweeps over 10,000 running sessions with nothing to do, with and without the market's list."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

from bench.brokers import embedded
from bench.figures import Figure, count, seconds
from bench.population import populate
from bench.probe import probed
from broker.app.build import Parts

SESSIONS = 10_000
_SWEEPS = 7
_QUIET = {
    "lifecycle__check_interval": "1h",
    "lifecycle__reconciliation_interval": "1h",
    "inventory__cache_ttl": "1h",
}
"""No timer fires while it is measured."""


async def measure() -> Sequence[Figure]:
    """Sweep several times with each."""
    with TemporaryDirectory() as folder:
        async with embedded(
            Path(folder),
            providers__simulator__ssh=False,
            providers__simulator__offers=SESSIONS,
            **_QUIET,
        ) as (_, parts):
            await populate(parts, SESSIONS)
            await asyncio.sleep(3)
            watched = len(await parts.sweeper.watches())
            async with probed() as at_rest:
                await asyncio.sleep(3)
            alone = await _sweep(parts, with_lists=False)
            compared = await _sweep(parts, with_lists=True)
            listing = await _list(parts)
    return [
        count("sessions that are watched", watched, SESSIONS),
        *_figures("a sweep", alone),
        *_figures("a sweep with the market's list", compared),
        seconds("the simulated market's list alone", listing),
        seconds("the event loop at rest, longest hold", at_rest.held),
    ]


@dataclass(frozen=True, slots=True)
class Swept:
    """What several sweeps took, one after the other."""

    times: list[float]
    holds: list[float]
    """The longest hold of the event loop during each."""
    computed: list[float]


def _figures(name: str, swept: Swept) -> list[Figure]:
    # What our own code holds, it holds in every sweep; the rest are other programs.
    return [
        seconds(name, median(swept.times), below=1),
        seconds(f"{name}: longest hold of the event loop", median(swept.holds), below=0.05),
        seconds(f"{name}: the same in the worst of {_SWEEPS} sweeps", max(swept.holds)),
        seconds(f"{name}: most computed without a pause", max(swept.computed)),
    ]


async def _sweep(parts: Parts, *, with_lists: bool) -> Swept:
    swept = Swept([], [], [])
    for _ in range(_SWEEPS):
        async with probed() as probe:
            begun = perf_counter()
            report = await parts.sweeper.sweep(parts.providers if with_lists else ())
            swept.times.append(perf_counter() - begun)
        swept.holds.append(probe.held)
        swept.computed.append(probe.computed)
        assert not report.actions, report.actions[0]
        assert not report.unlisted, report.unlisted
        await asyncio.sleep(0.1)
    return swept


async def _list(parts: Parts) -> float:
    (fleet,) = parts.tools.fleets.values()
    begun = perf_counter()
    await fleet.fresh()
    return perf_counter() - begun
