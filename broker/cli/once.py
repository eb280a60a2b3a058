"""Requests that must not be carried out twice: each carries an Idempotency-Key.

A broker that knows the key answers again instead of doing it again. So whoever loses the
answer is told the key, and gets the answer with the same command and `--idempotency-key`.
"""

from __future__ import annotations

import shlex
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import click

from broker.cli.client import RequestFailed
from broker.cli.exits import AnswerLost, Interrupted

_LONGEST_KEY = 128
_UNFORESEEN = 500


def _parse_key(_: click.Context, __: click.Parameter, key: str | None) -> str:
    if key is None:
        return str(uuid.uuid4())
    if key.isascii() and key.isprintable() and 0 < len(key) <= _LONGEST_KEY:
        return key
    raise click.BadParameter(f"takes 1 to {_LONGEST_KEY} printable ASCII characters.")


idempotency_option = click.option(
    "--idempotency-key",
    metavar="KEY",
    callback=_parse_key,
    help="Ask again for what an earlier call with this KEY did, whose answer was lost.",
)


@contextmanager
def carried_out_once(key: str, what_may_be: str) -> Iterator[None]:
    """Tell whoever loses the answer inside the block `what_may_be`, and how to get it."""
    hint = (
        f"{what_may_be} The same command with `--idempotency-key {shlex.quote(key)}` tells "
        "what became of it, and does nothing twice."
    )
    try:
        yield
    except KeyboardInterrupt as interrupt:
        raise Interrupted(f"Interrupted. {hint}") from interrupt
    except AnswerLost as lost:
        lost.hint = hint
        raise
    except RequestFailed as refusal:
        if refusal.status == _UNFORESEEN:
            refusal.hint = hint
        raise
