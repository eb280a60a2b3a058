"""The broker on a simulated market whose machines are records, and answer at one port all the same.

`python -m bench.crowded PORT ARGUMENT ...` is `gpu-broker ARGUMENT ...`; whoever started it
answers at PORT on loopback for all machines.
"""

from __future__ import annotations

import sys

from providers.simulator import machine


def _everywhere(machine_id: int) -> str:  # noqa: ARG001
    return machine.HOST


def answer_at(port: int) -> None:
    """Let all machines without SSH have this address."""
    machine.NO_PORT = port
    machine.address_without_ssh = _everywhere


if __name__ == "__main__":
    answer_at(int(sys.argv.pop(1)))
    from broker.cli import main

    main()
