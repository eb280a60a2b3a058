"""200 sessions that expire at the same instant: when they are destroyed, when that is proved."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp

from bench.brokers import call, embedded
from bench.figures import Figure, count, percentile, seconds
from bench.population import populate
from bench.probe import Probe, probed
from broker.app.build import Parts
from broker.decide import moves
from broker.model import Status

SESSIONS = 200
_NOTICE = timedelta(seconds=5)
"""From now to the instant at which all expire."""
_PATIENCE = 120.0
_BETWEEN_LOOKS = 0.25


async def measure() -> Sequence[Figure]:
    """First machines that are only booked, then machines that really run."""
    with TemporaryDirectory() as folder:
        async with embedded(Path(folder), providers__simulator__ssh=False) as (_, parts):
            ids = await populate(parts, SESSIONS)
            booked = await _expire(parts, ids, "without SSH")
    with TemporaryDirectory() as folder:
        async with embedded(Path(folder)) as (url, parts):
            ids = await _rent(url, parts)
            real = await _expire(parts, ids, "with SSH")
    return [*booked, *real]


async def _expire(parts: Parts, ids: Sequence[str], name: str) -> list[Figure]:
    """Move all ends to one instant, and wait until every end is proved."""
    ends_at = parts.tools.now() + _NOTICE
    await asyncio.gather(*(_end_at(parts, session_id, ends_at) for session_id in ids))
    await asyncio.sleep((ends_at - parts.tools.now()).total_seconds() - 0.5)
    async with probed() as probe, asyncio.timeout(_PATIENCE):
        while await parts.tools.store.open_ids():
            await asyncio.sleep(_BETWEEN_LOOKS)
    return await _figures(parts, ids, ends_at, name, probe)


async def _end_at(parts: Parts, session_id: str, ends_at: datetime) -> None:
    await parts.tools.journal.apply(
        session_id, lambda s, _: moves.extend(s, ends_at, parts.tools.now())
    )


async def _figures(
    parts: Parts, ids: Sequence[str], ends_at: datetime, name: str, probe: Probe
) -> list[Figure]:
    overviews = (await parts.tools.store.overviews(ids)).values()
    stopped = [one.session for one in overviews if one.session.status is Status.STOPPED]
    (provider,) = parts.providers.values()
    left = len(await provider.list_instances())
    last = [one.attempts[-1] for one in overviews]
    asked = _after(ends_at, [attempt.destroy_asked_at for attempt in last])
    accepted = _after(ends_at, [attempt.destroy_accepted_at for attempt in last])
    proved = _after(ends_at, [session.stopped_at for session in stopped])
    return [
        count(f"{name}: sessions stopped", len(stopped), SESSIONS),
        count(f"{name}: machines left", left, 0),
        seconds(f"{name}: the last destroy call made, after the end", max(asked), below=1),
        seconds(f"{name}: the last destruction accepted", max(accepted)),
        seconds(f"{name}: the last end proved", max(proved), below=3),
        seconds(f"{name}: the median end proved", percentile(proved, 0.5)),
        seconds(f"{name}: longest hold of the event loop", probe.held),
    ]


def _after(ends_at: datetime, instants: Sequence[datetime | None]) -> list[float]:
    return [(instant - ends_at).total_seconds() for instant in instants if instant]


async def _rent(url: str, parts: Parts) -> list[str]:
    """Sessions on machines that were rented, booted and verified; their ids."""
    async with aiohttp.ClientSession(url) as client:
        body = {"workload_type": "llm", "reservation_hours": 1, "allow_unverified": True}
        renting = (
            call(client, "POST", "/api/v1/sessions", body | {"consumer_id": f"consumer-{n}"})
            for n in range(SESSIONS)
        )
        answers = await asyncio.gather(*renting)
    async with asyncio.timeout(_PATIENCE):
        while any(watch.status is not Status.RUNNING for watch in await parts.sweeper.watches()):
            await asyncio.sleep(_BETWEEN_LOOKS)
    return [answer["session"]["id"] for answer in answers]
