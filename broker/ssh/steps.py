"""How a command on a machine is written and its output read: steps, each ending with a marker.

A command is one line for whatever shell the user has; inside, plain POSIX shell that
dash, bash and busybox understand. Whatever the machine prints before the first marker
(greetings, warnings) is ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from broker.ssh.keys import PUBLIC_KEY_TYPES

LONGEST_FAILURE = 200

SETUP = (
    "PATH=$PATH:/usr/bin:/bin:/usr/local/bin:/usr/local/nvidia/bin:/usr/lib/wsl/lib; "
    "LC_ALL=C; export PATH LC_ALL; "
    r'did() { printf "\n::gpu-broker:: %s %s\n" "$1" "$?"; }; did start; '
)
"""Begins a command. `did NAME` ends a step: its marker tells the name and the exit code."""

_MARKER = re.compile(r"::gpu-broker:: (?P<step>[a-z]+) (?P<code>[0-9]{1,9})")
_KEY = re.compile(
    rf"(?:^|\s)(?P<key>(?:{'|'.join(map(re.escape, PUBLIC_KEY_TYPES))}) +[A-Za-z0-9+/]+=*)"
)


@dataclass(frozen=True, slots=True)
class Step:
    """What one step of a command said."""

    exit_code: int
    lines: tuple[str, ...]


def parse_steps(stdout: str) -> Mapping[str, Step]:
    """The marked steps by name; lines that say nothing are left out."""
    steps: dict[str, Step] = {}
    lines: list[str] = []
    for line in (raw.strip() for raw in stdout.splitlines()):
        if marker := _MARKER.fullmatch(line):
            steps[marker["step"]] = Step(int(marker["code"]), tuple(lines))
            lines = []
        elif line:
            lines.append(line)
    return steps


def parse_keys(lines: Iterable[str]) -> tuple[str, ...]:
    """The public keys in lines of `authorized_keys`, each as its type and its data."""
    found = (_KEY.search(line) for line in lines if not line.startswith("#"))
    return tuple(" ".join(match["key"].split()) for match in found if match)


def first_words(texts: Iterable[str], otherwise: str) -> str:
    """The first line that says something, without what a terminal could trip over."""
    lines = (line for text in texts for line in text.splitlines())
    printable = ("".join(filter(str.isprintable, line)).strip() for line in lines)
    return next(filter(None, printable), otherwise)[:LONGEST_FAILURE]
