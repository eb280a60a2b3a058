"""`gpu-broker`, dying at a chosen effect: `python -m tests.crash.doomed --at accept:after serve …`.

Without `--at` it lives. With `--odd` the simulated market has what only some marketplaces have.
Where there is a file `clock`, its wall clock is ahead by the seconds in it, as in `bench.storm`.
"""

from __future__ import annotations

import argparse
import os
import signal
from contextlib import nullcontext
from pathlib import Path

from bench.storm.shifted import shift_clock
from broker.effects import Effect, Moment, watch_effects

CLOCK = Path("clock")


class Doom:
    """A watcher that kills its own process, as nobody can prevent or tidy up after."""

    def __init__(self, name: Effect, moment: Moment, times: int) -> None:
        self._at = name, moment
        self._left = times

    def __call__(self, name: Effect, moment: Moment) -> None:
        """Count the effects of that name; die at the last of them."""
        if (name, moment) != self._at:
            return
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def doom(at: str) -> Doom:
    """From `accept:after`, or `list_instances:before:3` for the third time."""
    name, moment, *times = at.split(":")
    return Doom(Effect(name), Moment(moment), int(times[0]) if times else 1)


def run() -> None:
    """Read our own arguments, leave the others to the broker."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.doomed", description=__doc__)
    parser.add_argument("--at", type=doom, help="an effect, a moment, and at which time")
    parser.add_argument("--odd", action="store_true", help="the odd market")
    parser.add_argument("--stillborn", action="store_true", help="its machines never start")
    parser.add_argument("--dearer", action="store_true", help="its machines cost a little more")
    given, rest = parser.parse_known_args()
    if given.odd:
        from tests.crash.odd import take_over  # noqa: PLC0415 - slow to import

        take_over(is_stillborn=given.stillborn, is_dearer=given.dearer)
    if CLOCK.exists():
        shift_clock(CLOCK)
    from broker.cli import main  # noqa: PLC0415 - with its clock

    with watch_effects(given.at) if given.at else nullcontext():
        main(rest)


if __name__ == "__main__":
    run()
