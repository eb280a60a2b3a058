"""`nvidia-smi` as the simulated machines have it: a shell script, and the facts that it prints.

A hundred machines may be probed at once, and an interpreter for each probe would be too
slow, so the tool is a POSIX shell script that starts nothing else. The formats are those of
the real tool with drivers of the years 2024 to 2026. The load of the GPUs is whatever
number stands in the file `gpu_util` of the machine's home.
"""

from __future__ import annotations

import shlex
import uuid
from pathlib import Path

from providers.simulator.catalog import Model

FACTS_NAME = "gpu"
"""The file that the script reads, in the folder above its own."""

_DRIVERS = (
    (13.0, "580.95.05"),
    (12.8, "570.124.06"),
    (12.6, "560.35.05"),
    (12.4, "550.127.05"),
    (12.2, "535.183.01"),
    (12.0, "525.147.05"),
    (11.8, "520.61.05"),
)
_USUAL_CUDA = 12.4
_BUSES = ("01", "25", "41", "61", "81", "A1", "C1", "E1")
_NAMESPACE = uuid.UUID("6f2f1c52-4a0c-4d6e-9a53-0d1c7c1f8a11")
_WIDEST_NAME = 27
"""Longer names are cut in the table."""


def render_facts(model: Model, count: int, *, cuda_version: float | None, identity: str) -> str:
    """Shell assignments for a machine with `count` GPUs of `model`; `identity` is the machine's."""
    cuda, driver = _driver(cuda_version)
    name = model.driver_name
    facts = {
        "name": name,
        "short_name": name if len(name) <= _WIDEST_NAME else f"{name[: _WIDEST_NAME - 3]}...",
        "count": count,
        "mib": model.mib,
        "watts": model.watts,
        "cap": model.compute_cap,
        "driver": driver,
        "cuda": cuda,
        "is_datacenter": "yes" if model.is_datacenter else "",
        "uuids": " ".join(f"GPU-{uuid.uuid5(_NAMESPACE, f'{identity}/{n}')}" for n in range(count)),
        "buses": " ".join(_bus(n) for n in range(count)),
    }
    return "".join(f"{name}={shlex.quote(str(value))}\n" for name, value in facts.items())


def _driver(cuda_version: float | None) -> tuple[str, str]:
    """The CUDA version and a driver that brings it."""
    cuda = cuda_version or _USUAL_CUDA
    driver = next((driver for least, driver in _DRIVERS if cuda >= least), _DRIVERS[-1][1])
    return f"{cuda:.1f}", driver


def _bus(n: int) -> str:
    domain, slot = divmod(n, len(_BUSES))
    return f"{domain:08X}:{_BUSES[slot]}:00.0"


SCRIPT = Path(__file__).with_name("nvidia-smi.sh").read_text("utf-8")
"""The program. It stands in a folder `bin` beside the facts and the machine's home, `root`."""
