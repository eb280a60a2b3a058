"""The life of a session as a table. Nothing else moves a status.

pending       recorded; the provider has not been called
provisioning  the provider was called; a machine may exist, access is not proved
running       the access that was promised is proved
stopping      the end was asked for; the machine may still exist
stopped       ended as asked, and proved that no machine is left
failed        never worked, was lost or disappeared, and proved that no machine is left
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from broker.model import Status


class Move(StrEnum):
    """What makes a session change its status."""

    LAUNCH = "launch"
    VERIFY = "verify"
    END = "end"
    CLOSE = "close"
    FAIL = "fail"


MOVES: Mapping[Status, Mapping[Move, Status]] = {
    Status.PENDING: {
        Move.LAUNCH: Status.PROVISIONING,
        Move.END: Status.STOPPING,
        Move.FAIL: Status.FAILED,
    },
    Status.PROVISIONING: {
        Move.VERIFY: Status.RUNNING,
        Move.END: Status.STOPPING,
        Move.FAIL: Status.FAILED,
    },
    Status.RUNNING: {
        Move.END: Status.STOPPING,
        Move.FAIL: Status.FAILED,
    },
    Status.STOPPING: {
        Move.CLOSE: Status.STOPPED,
    },
    Status.STOPPED: {},
    Status.FAILED: {},
}


class IllegalMove(Exception):
    """A move that is not in the table, or anything that happens to a final session."""

    def __init__(self, status: Status, move: str) -> None:
        super().__init__(f"a session that is {status} cannot {move}")


def advance(status: Status, move: Move) -> Status:
    """The status after `move`; raises IllegalMove where the table has none."""
    try:
        return MOVES[status][move]
    except KeyError:
        raise IllegalMove(status, move) from None


def diagram() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {Status.PENDING}"]
    for status, moves in MOVES.items():
        lines += [f"    {status} --> {after}: {move}" for move, after in moves.items()]
        if not moves:
            lines.append(f"    {status} --> [*]")
    return "\n".join(lines)
