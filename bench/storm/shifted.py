"""The broker with a wall clock that somebody else sets.

`python -m bench.storm.shifted FILE ARGUMENT ...` is `gpu-broker ARGUMENT ...`, and its clock is
ahead of the computer's by the seconds in FILE, a double that may change at any time.
"""

from __future__ import annotations

import mmap
import struct
import sys
from datetime import datetime, timedelta
from pathlib import Path

import broker.clock

SECONDS = struct.Struct("d")


def shift_clock(path: Path) -> None:
    """From now on, `broker.clock` reads the shifted clock. Comes before all other imports of it."""
    wall = broker.clock.utcnow
    with path.open("rb") as file:
        ahead = mmap.mmap(file.fileno(), SECONDS.size, access=mmap.ACCESS_READ)

    def shifted() -> datetime:
        (seconds,) = SECONDS.unpack(ahead[:])
        return wall() + timedelta(seconds=seconds)

    broker.clock.utcnow = shifted


if __name__ == "__main__":
    shift_clock(Path(sys.argv.pop(1)))
    from broker.cli import main

    main()
