"""Every marketplace by its name. Adapters are imported only when they are enabled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from providers.base import Provider

Now = Callable[[], datetime]
Factory = Callable[[Mapping[str, Any], Path, Now], Awaitable[Provider]]


async def _simulator(options: Mapping[str, Any], data_dir: Path, now: Now) -> Provider:
    from providers.simulator import SimulatorOptions, open_simulator, parse_fault

    known = ("boot_time", "drift", "seed", "offers", "ssh", "market_file")
    chosen = {name: options[name] for name in known}
    faults = tuple(parse_fault(fault) for fault in options["faults"])
    return await open_simulator(SimulatorOptions(data_dir=data_dir, faults=faults, **chosen), now)


FACTORIES: Mapping[str, Factory] = {
    "simulator": _simulator,
}


async def open_provider(
    name: str, options: Mapping[str, Any], data_dir: Path, now: Now
) -> Provider:
    """The adapter called `name`, built from its section of the settings; KeyError if unknown."""
    return await FACTORIES[name](options, data_dir, now)
