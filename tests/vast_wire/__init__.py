"""The API of Vast.ai as it is on the wire, with an account, real machines and misfortunes.

The vendor's own tools and the adapter talk to it unmodified; `docs/wire/vastai.md` says what is
known of the service that it stands for.
"""

from __future__ import annotations

from tests.vast_wire.contracts import BootTimeline
from tests.vast_wire.gate import TOO_FREQUENT
from tests.vast_wire.misfortunes import Operation, Word
from tests.vast_wire.service import API_KEY, VastWire, open_vast_wire
from tests.wire.gate import Call
from tests.wire.misfortunes import Misfortune, Misfortunes

__all__ = [
    "API_KEY",
    "TOO_FREQUENT",
    "BootTimeline",
    "Call",
    "Misfortune",
    "Misfortunes",
    "Operation",
    "VastWire",
    "Word",
    "open_vast_wire",
]
