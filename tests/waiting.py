"""Waiting for a condition, with an end. Tests never wait for a span of time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from threading import Event
from typing import Any

PATIENCE = 60.0
"""Seconds after which a wait has failed."""

_BETWEEN_LOOKS = 0.02


async def eventually(look: Callable[[], Awaitable[Any]], patience: float = PATIENCE) -> Any:
    """What `look` finds as soon as it finds something."""
    async with asyncio.timeout(patience):
        while not (found := await look()):
            with suppress(TimeoutError):
                async with asyncio.timeout(_BETWEEN_LOOKS):
                    await asyncio.get_running_loop().create_future()
        return found


def wait_until(condition: Callable[[], object], patience: float = PATIENCE) -> None:
    """Return as soon as the condition holds."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "it did not become so"
        Event().wait(_BETWEEN_LOOKS)
