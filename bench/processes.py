"""What the system tells of processes: their memory, their time, their children."""

from __future__ import annotations

import os
from pathlib import Path

_KIB_PER_MB = 1024
_NANOSECONDS = 1_000_000_000
_FIELDS_BEFORE_TIMES = 11
"""Of `/proc/PID/stat`, after the name of the program."""


def memory_mb(pid: int, field: str = "VmRSS") -> float:
    """Memory in MB: `VmRSS` is resident now, `VmHWM` at its highest."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == field:
            return int(rest.split()[0]) / _KIB_PER_MB
    raise LookupError(field)


def cpu_seconds(pid: int) -> float:
    """The time that a process has computed, its own and the kernel's for it."""
    _, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    user, system = rest.split()[_FIELDS_BEFORE_TIMES:][:2]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def waited_seconds(pid: int) -> float:
    """How long the main thread has waited for a core so far; 0 where the system does not tell."""
    try:
        _, waited, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
    except (OSError, ValueError):
        return 0.0
    return int(waited) / _NANOSECONDS


def children(pid: int) -> list[int]:
    """The processes that `pid` has started and that still run."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for listed in tasks for child in listed.read_text().split()]
