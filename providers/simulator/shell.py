"""Running the commands of a machine: with and without a terminal, until both ends are done."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import shutil
import signal
import struct
import termios
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import asyncssh

from providers.simulator.home import MARK, Home

Process = asyncssh.SSHServerProcess[bytes]

_SHELL = "/bin/sh"
_ON_TERMINAL = 'exec "$@" <"$0" >"$0" 2>&1'
"""Opening a terminal makes it that of the session, for whoever leads one."""
_PROC = Path("/proc")


async def serve_command(process: Process, home: Home) -> None:
    """Run what a client asked for without a terminal, and pass on its exit code."""
    command = ("-c", process.command) if process.command is not None else ()
    child = await asyncio.create_subprocess_exec(
        _SHELL,
        *command,
        cwd=home.path,
        env=_environment(process, home),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        process.set_redirect_pid(child.pid)
        await process.redirect(child.stdin, child.stdout, child.stderr)
        code = await child.wait()
        await process.stdout.drain()
        await process.stderr.drain()
        await _exit(process, code)
    finally:
        _hang_up(child)


async def serve_terminal(process: Process, home: Home, announce: Callable[[str], None]) -> None:
    """Run a shell, or a command, at a terminal; `announce` is told its name."""
    master, slave = pty.openpty()
    try:
        name = os.ttyname(slave)
        _resize(slave, process)
        child = await asyncio.create_subprocess_exec(
            *(_SHELL, "-c", _ON_TERMINAL, name, *_interactive(process.command)),
            cwd=home.path,
            env=_environment(process, home) | {"TERM": process.term_type or "xterm"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
    except BaseException:
        os.close(master)
        raise
    finally:
        os.close(slave)
    try:
        announce(name.removeprefix("/dev/"))
        process.set_redirect_pid(child.pid)
        await process.redirect(os.dup(master), master)
        code = await child.wait()
        await process.stdout.drain()
        await _exit(process, code)
    finally:
        _hang_up(child)


async def run_script(script: str, home: Home, log_name: str) -> None:
    """Run the text that a machine starts with; what it prints goes into a file of its home."""
    with (home.path / log_name).open("wb") as log:
        child = await asyncio.create_subprocess_exec(
            *(_SHELL, "-c", script),
            cwd=home.path,
            env=home.environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    await child.wait()


def kill_processes(homes: Iterable[Path]) -> None:
    """Kill everything that still runs on machines, also what their users left behind."""
    marks = [f"{MARK}={home}\0".encode() for home in homes]
    if not marks:
        return
    for folder in _PROC.glob("[0-9]*"):
        with suppress(OSError):
            environment = (folder / "environ").read_bytes()
            if any(mark in environment for mark in marks):
                os.kill(int(folder.name), signal.SIGKILL)


def _interactive(command: str | None) -> tuple[str, ...]:
    """The shell to sit before; nothing of the host's user is read by it."""
    if command is not None:
        return (_SHELL, "-c", command)
    bash = shutil.which("bash")
    return (bash, "--noprofile", "--norc") if bash else (_SHELL, "-i")


def _environment(process: Process, home: Home) -> dict[str, str]:
    """The machine's environment, and what SSH adds."""
    peer = process.get_extra_info("peername") or ("", 0)
    own = process.get_extra_info("sockname") or ("", 0)
    return home.environment() | {"SSH_CONNECTION": f"{peer[0]} {peer[1]} {own[0]} {own[1]}"}


def _resize(terminal: int, process: Process) -> None:
    width, height, pixels_wide, pixels_high = process.term_size
    size = struct.pack("HHHH", height or 24, width or 80, pixels_wide, pixels_high)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, size)


async def _exit(process: Process, code: int) -> None:
    if code >= 0:
        process.exit(code)
    else:
        process.exit_with_signal(signal.Signals(-code).name.removeprefix("SIG"))
    await process.wait_closed()


def _hang_up(child: asyncio.subprocess.Process) -> None:
    """End a command that nobody waits for any more."""
    if child.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGHUP)
