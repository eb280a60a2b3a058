"""How often each kind of call may be made: a minimum interval between two calls of a key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.vast_wire.misfortunes import Operation

INTERVALS: Mapping[str, float] = {
    Operation.CREATE: 4.5,
    Operation.BID: 5.5,
    Operation.SECRETS: 5.0,
    Operation.DESTROY: 3.0,
    Operation.TEMPLATES: 3.0,
    Operation.INVOICES: 3.0,
    Operation.SHOW: 2.0,
    Operation.PREPAY: 2.0,
    Operation.DETACH: 2.0,
    Operation.COMMAND: 1.5,
    Operation.LOGS: 1.5,
    Operation.LIST: 1.0,
    Operation.CHANGE: 1.0,
    Operation.REBOOT: 1.0,
    Operation.ATTACH: 1.0,
    Operation.NEW_KEY: 1.0,
    Operation.CHARGES: 1.0,
}
"""Seconds between two calls."""
_PENALTIES: Mapping[str, float] = {Operation.CREATE: 12.0}
"""Seconds from a call that came too early to the next that is served."""


@dataclass(frozen=True)
class Violation:
    """A call that came too early."""

    operation: str
    early_by: float
    """Seconds."""


@dataclass
class Limiter:
    """The intervals, stretched by `scale`; zero: no limits."""

    scale: float
    violations: list[Violation] = field(default_factory=list)
    _free_at: dict[tuple[str, str], float] = field(default_factory=dict)

    def admit(self, operation: str, key: str, now: float) -> float | None:
        """None where the call is served, else the threshold that it has broken, in seconds."""
        interval = INTERVALS.get(operation)
        if interval is None or not self.scale:
            return None
        slot = operation, key
        free_at = self._free_at.get(slot, now)
        if now >= free_at:
            self._free_at[slot] = now + interval * self.scale
            return None
        self.violations.append(Violation(operation, free_at - now))
        penalty = _PENALTIES.get(operation)
        if penalty is not None:
            self._free_at[slot] = now + penalty * self.scale
        return interval
