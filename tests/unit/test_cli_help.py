"""`--help` of every command, how quickly it can come, and shell completion."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from broker.cli import main
from broker.cli.completion import live_sessions
from tests.unit.cli_commands import commands
from tests.unit.cli_stub import RUNNING, SESSION_ID, StubApi, gpu_broker

_HEAVY = ("aiohttp", "paramiko", "rich", "pydantic", "sqlalchemy", "alembic", "asyncio")


@pytest.mark.parametrize("path", [path for path, _ in commands()], ids=" ".join)
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
        "check-config", "doctor", "openapi", "completion", "backup", "restore",
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


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("gpu-broker ser", ["serve"]),
        ("gpu-broker sessions de", ["delete"]),
        ("gpu-broker inventory --min-v", ["--min-vram"]),
        ("gpu-broker sessions get ses", [SESSION_ID]),
        ("gpu-broker ssh sess-other", []),
    ],
)
def test_bash_completes_commands_options_and_sessions(
    api: StubApi, words: str, expected: list[str]
) -> None:
    """The printed script does it in a real shell, with the broker's live sessions."""
    api.answers("GET /api/v1/sessions", {"sessions": [RUNNING]})
    script = gpu_broker("completion", "bash").stdout
    completing = f"""{script}
PATH='{Path(sys.executable).parent}':$PATH
COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_gpu_broker_completion gpu-broker
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", completing], capture_output=True, text=True, check=True)  # noqa: S603, S607 - the shell that the script is for

    assert done.stdout.split() == expected


def test_completion_of_sessions_is_silent_where_there_is_no_broker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A tab key is no place for an error."""
    monkeypatch.setenv("GPU_BROKER_URL", "http://127.0.0.1:9")

    assert live_sessions(click.Context(main), click.Argument(["session"]), "") == []


def test_completion_knows_the_commands() -> None:
    """What the script asks for is answered."""
    done = subprocess.run(
        [sys.executable, "-m", "broker"],
        env={
            "_GPU_BROKER_COMPLETE": "bash_complete",
            "COMP_WORDS": "gpu-broker ren",
            "COMP_CWORD": "1",
        },
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "plain,rent\n"
