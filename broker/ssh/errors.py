"""What can go wrong on the way to a machine's shell.

    SshError
    ├── NotYet           may pass by itself: try again until the attempt's deadline
    └── HostKeyChanged   somebody else answers: never try again

A machine that boots refuses, hangs, hangs up and rejects keys in every order, so
nothing but a changed host key is final. `NotYet.reason` tells how far the last try came.
"""

from __future__ import annotations

from enum import StrEnum


class NotYetReason(StrEnum):
    """How far a try came."""

    UNRESOLVED = "unresolved"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed_out"
    CLOSED = "closed"
    NO_AGREEMENT = "no_agreement"
    KEY_REFUSED = "key_refused"
    SESSION_REFUSED = "session_refused"


_SENTENCES = {
    NotYetReason.UNRESOLVED: "the name of the SSH host is not known to DNS",
    NotYetReason.REFUSED: "nothing listens at the SSH port",
    NotYetReason.UNREACHABLE: "no route leads to the SSH host",
    NotYetReason.TIMED_OUT: "the SSH host did not answer in time",
    NotYetReason.CLOSED: "the SSH host closed the connection early",
    NotYetReason.NO_AGREEMENT: "the SSH host speaks no SSH that we understand",
    NotYetReason.KEY_REFUSED: "the SSH host does not accept the key",
    NotYetReason.SESSION_REFUSED: "the SSH host accepts the key but runs no command",
}


class SshError(Exception):
    """The machine's shell was not reached."""


class NotYet(SshError):
    """The machine does not serve SSH yet."""

    def __init__(self, reason: NotYetReason) -> None:
        super().__init__(_SENTENCES[reason])
        self.reason = reason


class HostKeyChanged(SshError):
    """Another machine answers at this address: its host key is not the one seen before."""

    def __init__(self) -> None:
        super().__init__((self.__doc__ or "").strip())
