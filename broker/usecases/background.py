"""Tasks that nobody waits for."""

from __future__ import annotations

import asyncio
import logging

log = logging.getLogger(__name__)


def tell_of_end(task: asyncio.Task[None]) -> None:
    """For `add_done_callback`: an error that would otherwise be lost is told in the log."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("%s ended with an error.", task.get_name(), exc_info=error)
