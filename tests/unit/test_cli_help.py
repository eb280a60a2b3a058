"""`--help` of every command, how quickly it can come, and shell completion."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from broker.cli import main
from tests.unit.cli_stub import gpu_broker

_HEAVY = ("aiohttp", "paramiko", "rich", "pydantic", "sqlalchemy", "alembic", "asyncio")


def _commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))
        else:
            yield (*path, name)


@pytest.mark.parametrize("path", [*_commands(main)], ids=" ".join)
def test_the_help_of_every_command_has_an_example_of_it(path: tuple[str, ...]) -> None:
    """Every command can be learnt from its own help."""
    result = gpu_broker(*path, "--help")
    _, _, examples = result.stdout.partition("Example")

    assert result.exit_code == 0
    assert " ".join(["gpu-broker", *path]).replace("provision", "rent") in examples


def test_every_command_that_is_promised_is_there() -> None:
    """The commands of the documentation."""
    promised = {
        "serve", "demo", "inventory", "gpus", "templates", "rent", "provision", "sessions",
        "offer-health", "ssh", "cp", "ssh-config", "costs", "providers", "sweep", "cleanup-orphans",
        "check-config", "doctor", "openapi", "completion",
    }  # fmt: skip

    assert set(main.commands) == promised


def test_the_help_imports_nothing_heavy() -> None:
    """Start-up stays quick because what is slow to import waits for the command that needs it."""
    script = f"import sys, broker.cli; print([m for m in {_HEAVY} if m in sys.modules])"
    done = subprocess.run(  # noqa: S603 - this very interpreter
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_that_asks_this_command(shell: str) -> None:
    """The script names the command and the variable that makes it complete."""
    result = gpu_broker("completion", shell)

    assert result.exit_code == 0
    assert f"_GPU_BROKER_COMPLETE={shell}_complete" in result.stdout


def test_completion_knows_the_commands() -> None:
    """What the script asks for is answered."""
    done = subprocess.run(
        [sys.executable, "-m", "broker"],
        env={
            "_GPU_BROKER_COMPLETE": "bash_complete",
            "COMP_WORDS": "gpu-broker re",
            "COMP_CWORD": "1",
        },
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "plain,rent\n"
