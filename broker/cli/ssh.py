"""`ssh`, `ssh-config`: a shell on a rented machine, with the remembered key and host key."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import BinaryIO

import click

from broker.cli import keys
from broker.cli.client import Body, Client
from broker.cli.completion import session_argument
from broker.cli.exits import WronglySetUp, on_interrupt
from broker.cli.machine import find_machine, goes_on, known_hosts_file, logged_in
from broker.cli.output import say

key_option = click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="The private key; else the one that `rent` remembered.",
)


@click.command(
    epilog="""\b
Examples:
  gpu-broker ssh sess-abc2345xyz
  gpu-broker ssh sess-abc2345xyz -- nvidia-smi -L"""
)
@session_argument
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@key_option
@click.pass_context
def ssh(context: click.Context, session: str, command: tuple[str, ...], key: str | None) -> None:
    """Log in to a machine, or run a COMMAND there.

    The exit code is that of COMMAND. OpenSSH's `ssh` is used where there is one.
    """
    with on_interrupt(lambda: f"Interrupted. {goes_on(session)}"):
        machine = find_machine(Client.from_environment(), session)
        key_file = key_file_of(session, key)
        program = shutil.which("ssh")
        if program is not None:
            arguments = ssh_arguments(machine, key_file, known_hosts_file(machine), command)
            os.execv(program, ["ssh", *arguments])  # noqa: S606 - a terminal belongs to ssh itself
        if not command:
            raise WronglySetUp(
                "There is no `ssh` on this machine: install OpenSSH, or give a COMMAND."
            )
        context.exit(_run(machine, key_file, " ".join(command)))


@click.command(
    "ssh-config",
    epilog="""\b
Example:
  gpu-broker ssh-config sess-abc2345xyz >> ~/.ssh/config && ssh sess-abc2345xyz""",
)
@session_argument
@key_option
def ssh_config(session: str, key: str | None) -> None:
    """Print a Host block for ~/.ssh/config.

    With it editors, rsync and git reach the machine by the session's id.
    """
    machine = find_machine(Client.from_environment(), session)
    click.echo(present_host_block(machine, key_file_of(session, key), known_hosts_file(machine)))


def ssh_arguments(
    session: Body, key: Path | None, known_hosts: Path, command: tuple[str, ...]
) -> list[str]:
    """What OpenSSH's `ssh` is called with."""
    options = [word for line in _options(key, known_hosts) for word in ("-o", "=".join(line))]
    where = ["-p", str(session["ssh_port"]), "-l", session["ssh_user"]]
    return [*options, *where, "--", session["ssh_host"], *command]


def present_host_block(session: Body, key: Path | None, known_hosts: Path) -> str:
    """A block for an OpenSSH client configuration file."""
    lines = [
        ("HostName", session["ssh_host"]),
        ("Port", str(session["ssh_port"])),
        ("User", session["ssh_user"]),
        *_options(key, known_hosts),
    ]
    return "\n".join([f"Host {session['id']}", *(f"    {' '.join(line)}" for line in lines)])


def _options(key: Path | None, known_hosts: Path) -> list[tuple[str, str]]:
    """Exactly one host key is right, and exactly one key is offered."""
    options = [
        ("UserKnownHostsFile", _quoted(known_hosts)),
        ("GlobalKnownHostsFile", "/dev/null"),
        ("StrictHostKeyChecking", "yes"),
    ]
    if key is not None:
        options += [("IdentityFile", _quoted(key)), ("IdentitiesOnly", "yes")]
    return options


def _quoted(path: Path) -> str:
    """A path as OpenSSH reads it: `%` begins a token, blanks end a word."""
    return f'"{str(path.absolute()).replace("%", "%%")}"'


def key_file_of(session_id: str, given: str | None) -> Path | None:
    """The key to log in with; None, after saying so, where it must be one of the person's own."""
    key = keys.find(session_id, given)
    if key is None:
        say(f"No key of {session_id} is remembered here: trying your own. --key names another.")
    return key


def _run(session: Body, key: Path | None, command: str) -> int:
    """Run a command without OpenSSH: its output as it comes, its exit code."""
    with logged_in(session, key, known_hosts_file(session)) as client:
        stdin, stdout, _ = client.exec_command(command)
        stdin.close()
        channel = stdout.channel
        errors = Thread(target=_copy, args=(channel.recv_stderr, sys.stderr.buffer), daemon=True)
        errors.start()
        _copy(channel.recv, sys.stdout.buffer)
        errors.join()
        return channel.recv_exit_status() % 256


def _copy(receive: Callable[[int], bytes], target: BinaryIO) -> None:
    while chunk := receive(1 << 16):
        target.write(chunk)
        target.flush()
