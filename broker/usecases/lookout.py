"""What a provider tells of a machine that boots: in its list, or asked for it alone."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from broker.decide.pauses import growing
from broker.decide.plan import DENIALS_OF_A_GHOST, MISSES_OF_A_GHOST
from broker.model import Attempt
from broker.usecases.launch import Tools
from providers.base import Instance
from providers.errors import NotFound, ProviderError

_OLDEST_LIST = timedelta(milliseconds=500)
_GROWTH = 1.5
_LONGEST_PAUSE = timedelta(seconds=10)


@dataclass(slots=True)
class Seen:
    """What this process has seen of an attempt's machine so far, by the steady clock."""

    begun_at: datetime
    misses: int = 0
    """How many lists in a row were without it."""
    denials: int = 0
    """How often in a row the provider, asked for the machine alone, said that it is gone."""
    is_gone: bool = False
    asked: int = 0
    """How often the provider was asked for the machine alone because its list is brief."""
    ask_again_at: datetime | None = None
    told: Instance | None = None
    """What it said then."""


class Lookout:
    """Looks at machines that boot. The list serves all of them; it is asked first."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def look(self, attempt: Attempt, seen: Seen) -> Instance | None:
        """The machine as it is now; None where it is out of sight, or gone as `seen` then tells.

        Raises ProviderError.
        """
        tools, provider = self._tools, attempt.offer.provider
        age = min(tools.rules.verify_interval / 2, _OLDEST_LIST)
        listing = await tools.fleets[provider].recent(age)
        instance = listing.by_id.get(attempt.instance_id or "")
        settle = tools.doors[provider].capabilities.settle
        is_missed = instance is None and listing.asked_steadily_at >= seen.begun_at + settle
        seen.misses = seen.misses + 1 if is_missed else 0
        if seen.misses >= MISSES_OF_A_GHOST:
            return await self._missed(attempt, seen)
        seen.denials = 0
        if instance is not None and instance.is_brief:
            return await self._whole(instance, attempt, seen)
        return instance

    async def _missed(self, attempt: Attempt, seen: Seen) -> Instance | None:
        """The machine that the lists miss, as far as its provider still knows it."""
        door = self._tools.doors[attempt.offer.provider]
        if not door.capabilities.direct_proof:
            seen.is_gone = True
            return None
        try:
            instance = await door.get(attempt.instance_id or "")
        except NotFound:
            seen.denials += 1
            seen.is_gone = seen.denials >= DENIALS_OF_A_GHOST
            return None
        seen.denials = 0
        return instance

    async def _whole(self, listed: Instance, attempt: Attempt, seen: Seen) -> Instance:
        """The machine with what its row leaves out: asked for at times, for calls are scarce."""
        now = self._tools.steady()
        if seen.ask_again_at is None or seen.ask_again_at <= now:
            seen.asked += 1
            interval = self._tools.rules.verify_interval
            seen.ask_again_at = now + growing(interval, _GROWTH, seen.asked, _LONGEST_PAUSE)
            with suppress(ProviderError):
                door = self._tools.doors[attempt.offer.provider]
                seen.told = await door.get(attempt.instance_id or "")
        return seen.told or listed
