"""A computer that is busy with something else is an excuse too."""

from __future__ import annotations

import asyncio
import os
from time import monotonic

from bench.processes import waited_seconds
from bench.storm.target import Target
from bench.storm.troubles import STARVED, Trouble, Troubles

_BETWEEN_LOOKS = 0.25
_TOO_MUCH = 0.3
"""The share of a stretch for which a process may wait for a core and still be quick."""


async def watch_cores(target: Target, troubles: Troubles) -> None:
    """Note for ever when the broker, or what it speaks to, has to wait for a core."""
    trouble: Trouble | None = None
    pid, waited, looked_at = _waited(target)
    while True:
        await asyncio.sleep(_BETWEEN_LOOKS)
        before, (pid, now_waited, now) = (pid, waited, looked_at), _waited(target)
        share = (now_waited - before[1]) / (now - before[2]) if pid == before[0] else 1.0
        waited, looked_at = now_waited, now
        if share > _TOO_MUCH and trouble is None:
            trouble = troubles.begin(STARVED)
        elif share <= _TOO_MUCH and trouble is not None:
            troubles.end(trouble)
            trouble = None


def _waited(target: Target) -> tuple[int | None, float, float]:
    """The broker's process, how long it and this one have waited for a core, and the time."""
    pid = target.pid
    waited = waited_seconds(os.getpid()) + (waited_seconds(pid) if pid else 0.0)
    return pid, waited, monotonic()
