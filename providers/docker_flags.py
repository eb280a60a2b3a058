"""The docker flags in which marketplaces keep a template's ports and environment. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

_HIGHEST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class DockerFlags:
    """The environment and the ports in a template's docker flags."""

    env: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[int, ...] = ()
    """Inside the machine."""


def parse_docker_flags(text: str | None) -> DockerFlags:
    """`-p 1111:1111 -e A=1` as values; what is neither a port nor a variable is left out."""
    env: dict[str, str] = {}
    ports: list[int] = []
    words = iter(_words(text or ""))
    for word in words:
        flag, has_argument, rest = word.partition("=")
        if flag not in _FLAGS:
            continue
        argument = rest if has_argument else next(words, "")
        if flag in _PORT_FLAGS:
            ports += _parse_port(argument)
        elif "=" in argument:
            name, _, value = argument.partition("=")
            env[name] = value
    return DockerFlags(env, tuple(dict.fromkeys(ports)))


_PORT_FLAGS = frozenset({"-p", "--publish"})
_FLAGS = _PORT_FLAGS | {"-e", "--env"}


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _parse_port(text: str) -> list[int]:
    """The inner port of `outer:inner/tcp`; none where it is no TCP port."""
    inner, _, protocol = text.rpartition(":")[2].partition("/")
    if protocol not in ("", "tcp") or not (inner.isascii() and inner.isdigit()):
        return []
    return [int(inner)] if 0 < int(inner[:6]) <= _HIGHEST_PORT else []
