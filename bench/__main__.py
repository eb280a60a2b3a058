"""The one command: runs the parts one after the other and prints one table."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.figures import Figure, decode, fits, show
from bench.part import PARTS

PATIENCE = 300.0
"""Seconds after which a part is ended."""


def main(arguments: Sequence[str]) -> int:
    """Run the parts that are asked for; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the broker.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one of: {', '.join(PARTS)}")
    parser.add_argument("--plain", action="store_true", help="print the table as plain text")
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - PARTS.keys():
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    rows = [(name, figure) for name in options.parts or PARTS for figure in _measured(name)]
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()}")
    show(rows, is_plain=options.plain)
    return 0 if all(fits(figure) for _, figure in rows) else 1


def _measured(name: str) -> list[Figure]:
    """The figures of one part, from a process of its own."""
    print(f"measuring {name} …", file=sys.stderr, flush=True)
    with (
        # Machines of a part that did not end may still write while it is cleared.
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        Path(folder, "figures").open("w+") as output,
    ):
        part = subprocess.Popen(
            [sys.executable, "-m", "bench.part", name],
            # Not a pipe: what a part leaves running must not keep us waiting for its end.
            stdout=output,
            env={**os.environ, "TMPDIR": folder},
            start_new_session=True,
        )
        try:
            code = part.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            return [Figure("did not end", f"{PATIENCE:.0f} s", is_met=False)]
        finally:
            _end(part)
        if code != 0:
            return [Figure("ended with an error", f"exit code {code}", is_met=False)]
        output.seek(0)
        return decode(output.read())


def _end(part: subprocess.Popen[bytes]) -> None:
    """End a part, and whatever it started; simulated machines end with their broker."""
    try:
        os.killpg(part.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    part.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
