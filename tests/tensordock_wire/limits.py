"""How often an organization may call: so many calls in any minute."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

CALLS = 100
_MINUTE = 60.0


@dataclass
class Limiter:
    """A window over the latest calls. `scale` 1 is a minute; zero: no limits."""

    scale: float
    violations: int = 0
    """How many calls came too many."""
    _admitted: deque[float] = field(default_factory=deque)

    def admits(self, now: float) -> bool:
        """Whether a call is served at this instant of a clock that never goes back, in seconds."""
        if not self.scale:
            return True
        while self._admitted and self._admitted[0] <= now - _MINUTE * self.scale:
            self._admitted.popleft()
        if len(self._admitted) >= CALLS:
            self.violations += 1
            return False
        self._admitted.append(now)
        return True
