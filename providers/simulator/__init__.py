"""A simulated GPU marketplace, for trying, teaching and testing: no account, no money."""

from __future__ import annotations

from providers.simulator.adapter import SimulatorProvider, open_simulator
from providers.simulator.faults import Fault, FaultInvalid, parse_fault
from providers.simulator.marketplace import Bill, SimulatorOptions, read_market

__all__ = [
    "Bill",
    "Fault",
    "FaultInvalid",
    "SimulatorOptions",
    "SimulatorProvider",
    "open_simulator",
    "parse_fault",
    "read_market",
]
