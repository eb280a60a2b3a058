"""Sweeps over 10,000 running sessions with nothing to do, with and without the market's list."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

from bench.brokers import embedded
from bench.figures import Figure, count, seconds
from bench.population import populate
from bench.probe import Probe, probed
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
    """Sweep several times; the median time, the longest hold of all."""
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
        *_figures("a sweep", *alone),
        *_figures("a sweep with the market's list", *compared),
        seconds("the simulated market's list alone", listing),
        seconds("the event loop at rest, longest hold", at_rest.held),
    ]


def _figures(name: str, took: float, probe: Probe) -> list[Figure]:
    return [
        seconds(name, took, below=1),
        seconds(f"{name}: longest hold of the event loop", probe.held, below=0.05),
        seconds(f"{name}: most computed without a pause", probe.computed),
    ]


async def _sweep(parts: Parts, *, with_lists: bool) -> tuple[float, Probe]:
    times = []
    async with probed() as probe:
        for _ in range(_SWEEPS):
            begun = perf_counter()
            report = await parts.sweeper.sweep(parts.providers if with_lists else ())
            times.append(perf_counter() - begun)
            assert not report.actions, report.actions[0]
            assert not report.unlisted, report.unlisted
            await asyncio.sleep(0.1)
    return median(times), probe


async def _list(parts: Parts) -> float:
    (fleet,) = parts.tools.fleets.values()
    begun = perf_counter()
    await fleet.recent(timedelta())
    return perf_counter() - begun
