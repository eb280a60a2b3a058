"""The death of a simulated broker: from one effect on it has none any more, as after SIGKILL."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from broker.effects import Effect, Moment


class Died(BaseException):
    """The broker is dead: what it was about to do does not happen."""


@dataclass(frozen=True, slots=True)
class Death:
    """When a broker dies."""

    effect: Effect | None
    """None: at any effect."""
    moment: Moment
    spared: int = 0
    """So many times it goes well."""


class Doom:
    """Kills the broker of this process when it is told to, while its `watch` watches effects.

    A dead broker still has its tasks, and whoever owns them has to end them; but every effect
    that it tries fails before it begins, so that nothing but its memory changes any more.
    """

    def __init__(self) -> None:
        self._death: Death | None = None
        self._spared = 0
        self._loop = asyncio.get_running_loop()
        self.died = asyncio.Event()
        self.is_dead = False

    def plan(self, death: Death | None) -> None:
        """Let the broker die so; None: let it live."""
        self._death = death
        self._spared = death.spared if death else 0

    @property
    def is_planned(self) -> bool:
        return self._death is not None

    def kill(self) -> None:
        """Let it die now."""
        self._death, self.is_dead = None, True
        self._loop.call_soon_threadsafe(self.died.set)

    def revive(self) -> None:
        """Another one may begin."""
        self.is_dead = False
        self.died.clear()

    def watch(self, effect: Effect, moment: Moment) -> None:
        """Raises Died where the broker is dead, or dies here."""
        if self.is_dead:
            raise Died
        death = self._death
        if death is None or death.moment is not moment or death.effect not in (None, effect):
            return
        if self._spared == 0:
            self.kill()
            raise Died
        self._spared -= 1
