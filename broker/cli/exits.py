"""The ways in which a command ends badly, each with its exit code.

    CommandFailed          1  the request failed
    ├── WronglySetUp       2  the configuration is wrong
    ├── BrokerUnreachable  3  nobody answers at GPU_BROKER_URL
    │   └── AnswerLost     3  ... after the request was sent: it may have been carried out
    └── Interrupted      130  Ctrl-C

Wrong usage is click's own `UsageError`, exit code 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click


class CommandFailed(click.ClickException):
    """What was asked did not happen; the message is one sentence for a person."""

    exit_code = 1
    hint = ""
    """What somebody higher up knows to do about it."""

    def format_message(self) -> str:
        return f"{self.message} {self.hint}".rstrip()


class WronglySetUp(CommandFailed):
    """The configuration must change before this can work."""

    exit_code = 2


class BrokerUnreachable(CommandFailed):
    """No broker answers where one was expected."""

    exit_code = 3


class AnswerLost(BrokerUnreachable):
    """The request went out and no answer came back: it may have been carried out."""


class Interrupted(CommandFailed):
    """The person at the keyboard pressed Ctrl-C; the message says what goes on running."""

    exit_code = 130


@contextmanager
def on_interrupt(what_goes_on: Callable[[], str]) -> Iterator[None]:
    """Turn Ctrl-C inside the block into `Interrupted` with a hint made at that moment."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        raise Interrupted(what_goes_on()) from interrupt
