"""The root command: one line for every error, and the exit codes that scripts rely on."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from io import FileIO, TextIOWrapper
from typing import Any, NoReturn

import click
from click.exceptions import NoArgsIsHelpError

from broker.cli.exits import Interrupted
from broker.cli.output import say

NAME = "gpu-broker"
COMPLETION_VARIABLE = "_GPU_BROKER_COMPLETE"
WRONG_USAGE = 2

_WHAT_STAYS = (
    "Interrupted. Rented machines stay rented: `gpu-broker sessions list` shows them, "
    "`gpu-broker sessions delete SESSION` ends one."
)


class Program(click.Group):
    """A click group that ends the process with 0, 1, 2, 3 or 130, and never with a traceback.

    The exit code of a command that returns is 0; one that has another to pass on calls
    `ctx.exit(code)`. GPU_BROKER_DEBUG=1 shows the traceback of what nobody expected.
    """

    def main(self, *args: Any, **options: Any) -> NoReturn:
        options |= {"prog_name": NAME, "complete_var": COMPLETION_VARIABLE}
        options["standalone_mode"] = False
        if os.environ.get("NO_COLOR"):
            options["color"] = False
        _stand_in_for_closed_streams()
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="replace")
        sys.exit(_exit_code(partial(super().main, *args, **options)))


def _stand_in_for_closed_streams() -> None:
    """Python has None for them: a result is then refused as by a full disk, the rest is silent."""
    if sys.stdout is None:
        unwritable = FileIO(os.open(os.devnull, os.O_RDONLY), "w")
        sys.stdout = TextIOWrapper(unwritable, write_through=True)  # nothing waits for the end
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")


def _exit_code(command: Callable[[], object]) -> int:
    try:
        code = command()
    except NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return WRONG_USAGE
    except click.UsageError as error:
        return _complain(_misused(error), error.exit_code)
    except click.ClickException as error:
        return _complain(error.format_message(), error.exit_code)
    except click.Abort:
        return _complain(_WHAT_STAYS, Interrupted.exit_code)
    except OSError as error:
        return _complain(_refused_by_the_system(error), 1)
    except Exception as error:  # noqa: BLE001 - a person gets a sentence, whatever happened
        return _complain(_unexpected(error), 1)
    return code if isinstance(code, int) else 0


def _complain(message: str, code: int) -> int:
    for line in message.splitlines():
        say(f"Error: {line}")
    return code


def _misused(error: click.UsageError) -> str:
    """One line, whatever click lists below its first one."""
    message = " ".join(error.format_message().split())
    end = "" if message.endswith((".", "?", ")")) else "."
    where = f" `{error.ctx.command_path} --help` explains." if error.ctx else ""
    return f"{message}{end}{where}"


def _refused_by_the_system(error: OSError) -> str:
    """A full disk, a folder that cannot be written: no mistake in the program."""
    where = f": {error.filename}" if error.filename else ""
    return f"{error.strerror or error}{where}."


def _unexpected(error: Exception) -> str:
    if os.environ.get("GPU_BROKER_DEBUG"):
        raise error
    text = " ".join(str(error).split())
    return f"Unexpected: {type(error).__name__}: {text} (GPU_BROKER_DEBUG=1 shows where.)"
