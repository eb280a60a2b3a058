"""Metering for how long machines live beyond what the broker promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from broker.decide.jumps import Jump
from broker.decide.leaks import Leaks, Machine, count_leaks, forgiven, unwanted
from broker.decide.plan import Memory
from broker.model import Watch
from broker.usecases.launch import Tools


class LeakListener(Protocol):
    """Is told of every stretch of time that a provider's machines lived too long."""

    def machines_overstayed(self, provider: str, span: timedelta) -> None: ...


class LeakMeter:
    """Counts on from look to look, so that a leak shows while it lasts."""

    def __init__(self, tools: Tools, listener: LeakListener) -> None:
        self._tools = tools
        self._listener = listener
        self._counted = Leaks(tools.steady())
        tools.clock.listen(self)

    def clock_jumped(self, _jump: Jump, _now: datetime) -> None:
        """A clock tells of every jump: what is due of a sudden is destroyed from now on."""
        self._counted = forgiven(self._counted, self._tools.steady())

    def look(self, watches: Sequence[Watch], memories: Mapping[str, Memory]) -> None:
        """Count until now, from the sessions that are not final and what is known of orphans."""
        now, steady = self._tools.now(), self._tools.steady()
        overdue = {
            Machine(provider, instance_id): instant
            for provider, memory in memories.items()
            for instance_id, instant in memory.overdue_at.items()
        }
        machines = {(one.provider, one.instance_id) for one in watches if one.instance_id}
        ended = {Machine(*key): at for key, at in self._tools.destructions.ended(machines).items()}
        due = unwanted(watches, now)
        self._counted, leaked = count_leaks(self._counted, due, overdue, ended, now, steady)
        for provider, span in leaked.items():
            self._listener.machines_overstayed(provider, span)
