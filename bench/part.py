"""One part in this process: `python -m bench.part NAME` prints its figures as JSON."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from bench import answers, creations, ends, simulated, starting, sweeping
from bench.figures import Figure, encode

Measure = Callable[[], Coroutine[Any, Any, Sequence[Figure]]]

PARTS: Mapping[str, Measure] = {
    "answers": answers.measure,
    "creations": creations.measure,
    "sweep": sweeping.measure,
    "ends": ends.measure,
    "start": starting.measure,
    "simulator": simulated.measure,
}


if __name__ == "__main__":
    print(encode(asyncio.run(PARTS[sys.argv[1]]())))
