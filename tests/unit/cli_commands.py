"""Every command that speaks to the API, with what it asks first."""

from __future__ import annotations

from collections.abc import Iterator

import click

from broker.cli import main
from tests.unit.cli_stub import SESSION_ID

_ONE = f"/api/v1/sessions/{SESSION_ID}"

PRINTING: list[tuple[str, tuple[str, ...]]] = [
    ("GET /api/v1/inventory", ("inventory",)),
    ("GET /api/v1/inventory/simulator-17", ("inventory", "simulator-17")),
    ("GET /api/v1/inventory/x/compatible-templates", ("templates", "--offer-id", "x")),
    ("GET /api/v1/gpus", ("gpus",)),
    ("GET /api/v1/gpus/RTX%204090/availability", ("gpus", "RTX 4090")),
    ("GET /api/v1/templates", ("templates",)),
    ("GET /api/v1/templates/abc", ("templates", "abc")),
    ("GET /api/v1/offer-health", ("offer-health",)),
    ("POST /api/v1/sessions", ("rent",)),
    ("GET /api/v1/sessions", ("sessions", "list")),
    (f"GET {_ONE}", ("sessions", "get", SESSION_ID)),
    (f"GET {_ONE}/events", ("sessions", "events", SESSION_ID)),
    (f"GET {_ONE}/receipt", ("sessions", "receipt", SESSION_ID)),
    (f"GET {_ONE}/diagnostics", ("sessions", "diagnostics", SESSION_ID)),
    (f"POST {_ONE}/heartbeat", ("sessions", "heartbeat", SESSION_ID)),
    (f"POST {_ONE}/done", ("sessions", "done", SESSION_ID)),
    (f"POST {_ONE}/extend", ("sessions", "extend", SESSION_ID, "--minutes", "5")),
    (f"POST {_ONE}/hold", ("sessions", "hold", SESSION_ID, "--hours", "2", "--reason", "x")),
    (f"DELETE {_ONE}/hold", ("sessions", "release", SESSION_ID)),
    (f"POST {_ONE}/rekey", ("sessions", "rekey", SESSION_ID)),
    (f"DELETE {_ONE}", ("sessions", "delete", SESSION_ID)),
    ("GET /api/v1/costs", ("costs",)),
    ("GET /api/v1/costs/summary", ("costs", "summary")),
    ("GET /api/v1/costs/daily", ("costs", "daily")),
    ("GET /api/v1/providers", ("providers",)),
    ("GET /api/v1/providers/vastai/instances", ("providers", "instances", "vastai")),
]
"""Those that print its body with `-o json`."""

ASKING = [
    *PRINTING,
    (f"GET {_ONE}", ("ssh", SESSION_ID)),
    (f"GET {_ONE}", ("ssh-config", SESSION_ID)),
    (f"GET {_ONE}", ("cp", "here", f"{SESSION_ID}:there")),
]
"""All of them."""

APART = {
    ("serve",), ("demo",), ("sweep",), ("cleanup-orphans",), ("check-config",), ("doctor",),
    ("completion",), ("openapi",), ("backup",), ("restore",),
}  # fmt: skip
"""Those that need no broker."""


def command_of(words: tuple[str, ...]) -> click.Command:
    """The command that a command line is about."""
    found = {path: command for path, command in commands() if path == words[: len(path)]}
    return found[max(found, key=len)]


def commands(
    group: click.Group = main, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command and group of the tree with the words that lead to it."""
    yield path, group
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command
