"""Telling a machine with a watchdog until when it may live.

The file appears with its new text or stays as it was: whatever reads it finds a deadline.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from broker.ssh.login import SshResult
from broker.ssh.steps import SETUP, Step, first_words, parse_steps
from providers.base import WATCHDOG_FILE

_LATEST = 253_402_300_799
"""The last second that a date can name."""


@dataclass(frozen=True, slots=True)
class Written:
    """What the file said before the command, and what it says now; None is no instant."""

    before: datetime | None
    now: datetime | None
    said: str
    """The machine's own words, for where the two are not as they should be."""


def deadline_command(deadline: datetime) -> str:
    """The command that writes `deadline`, to the second, and shows the file before and after."""
    return (
        f"sh -c '{SETUP}umask 077; "
        f'f="$HOME/{WATCHDOG_FILE}"; n="$f.$$"; cat "$f" 2>/dev/null; did before; '
        f'echo {int(deadline.timestamp())} > "$n" && mv -f "$n" "$f"; did write; '
        'rm -f "$n"; cat "$f" 2>/dev/null; did after\' 2>&1'
    )


def parse_deadlines(result: SshResult) -> Written:
    """What `deadline_command` showed."""
    steps = parse_steps(result.stdout)
    write = steps.get("write")
    said = write.lines if write else (result.stdout, result.stderr)
    return Written(
        before=_instant(steps.get("before")),
        now=_instant(steps.get("after")),
        said=first_words(said, f"exit code {write.exit_code if write else result.exit_code}"),
    )


def _instant(step: Step | None) -> datetime | None:
    text = step.lines[0] if step is not None and step.lines else ""
    if not (text.isascii() and text.isdigit() and int(text) <= _LATEST):
        return None
    return datetime.fromtimestamp(int(text), UTC)
