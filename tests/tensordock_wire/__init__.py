"""The API of TensorDock as it is on the wire, with an organization, real machines and misfortunes.

The adapter talks to it unmodified; `docs/wire/tensordock.md` says what is known of the service
that it stands for.
"""

from __future__ import annotations

from tests.tensordock_wire.lives import Timeline
from tests.tensordock_wire.misfortunes import Operation, Word
from tests.tensordock_wire.places import LOCATIONS, Gpu, Host, Location
from tests.tensordock_wire.refusals import ErrorShape
from tests.tensordock_wire.service import (
    API_TOKEN,
    AUTH_ID,
    TensordockWire,
    open_tensordock_wire,
)
from tests.tensordock_wire.shapes import Case, ListShape, NoAddress, Shapes
from tests.tensordock_wire.soundness import assert_sound
from tests.wire.gate import Call
from tests.wire.misfortunes import Misfortune, Misfortunes

__all__ = [
    "API_TOKEN",
    "AUTH_ID",
    "LOCATIONS",
    "Call",
    "Case",
    "ErrorShape",
    "Gpu",
    "Host",
    "ListShape",
    "Location",
    "Misfortune",
    "Misfortunes",
    "NoAddress",
    "Operation",
    "Shapes",
    "TensordockWire",
    "Timeline",
    "Word",
    "assert_sound",
    "open_tensordock_wire",
]
