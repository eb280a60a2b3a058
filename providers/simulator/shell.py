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
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh

from providers.simulator.home import MARK, Home

Process = asyncssh.SSHServerProcess[bytes]

_SHELL = "/bin/sh"
_ON_TERMINAL = 'exec "$@" <"$0" >"$0" 2>&1'
"""Opening a terminal makes it that of the session, for whoever leads one."""
_PROC = Path("/proc")
_CHUNK = 65_536
_LAST_WORDS_SECONDS = 0.3
_FIRST = asyncio.FIRST_COMPLETED


@dataclass
class _Terminal:
    """A terminal whose other side is held open, until it is let go."""

    name: str
    keyboard: asyncio.StreamWriter
    screen: asyncio.StreamReader
    _slave: int | None

    def let_go(self) -> None:
        """From now on only its users hold it open."""
        slave, self._slave = self._slave, None
        if slave is not None:
            os.close(slave)


async def serve_command(process: Process, home: Home) -> None:
    """Run what a client asked for without a terminal, and pass on its exit code."""
    command = ("-c", process.command) if process.command is not None else ()
    child = await asyncio.create_subprocess_exec(
        *(_SHELL, *command),
        cwd=home.path,
        env=_environment(process, home),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    if child.stdin is None or child.stdout is None or child.stderr is None:
        raise RuntimeError("a process was started without its pipes")
    await _attend(
        process,
        child,
        _copy_in(process, child.stdin, child.pid),
        _copy_out(child.stdout, process.stdout),
        _copy_out(child.stderr, process.stderr),
    )


async def serve_terminal(process: Process, home: Home, announce: Callable[[str], None]) -> None:
    """Run a shell, or a command, at a terminal; `announce` is told its name."""
    async with _open_terminal(process) as terminal:
        child = await asyncio.create_subprocess_exec(
            *(_SHELL, "-c", _ON_TERMINAL, terminal.name, *_interactive(process.command)),
            cwd=home.path,
            env=_environment(process, home) | {"TERM": process.term_type or "xterm"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        announce(terminal.name.removeprefix("/dev/"))
        await _attend(
            process,
            child,
            _copy_in(process, terminal.keyboard, child.pid),
            _copy_out(terminal.screen, process.stdout),
            at_end=terminal.let_go,
        )


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


@asynccontextmanager
async def _open_terminal(process: Process) -> AsyncIterator[_Terminal]:
    """A new terminal of the client's size."""
    loop = asyncio.get_running_loop()
    master, slave = pty.openpty()
    screen = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(screen)
    output, _ = await loop.connect_read_pipe(lambda: protocol, os.fdopen(master, "rb", 0))
    typing, _ = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()),
        os.fdopen(os.dup(master), "wb", 0),
    )
    _resize(slave, process)
    keyboard = asyncio.StreamWriter(typing, protocol, None, loop)
    terminal = _Terminal(os.ttyname(slave), keyboard, screen, slave)
    try:
        yield terminal
    finally:
        terminal.let_go()
        output.close()
        typing.abort()


async def _attend(
    process: Process,
    child: asyncio.subprocess.Process,
    copy_in: Coroutine[None, None, None],
    *copies_out: Coroutine[None, None, None],
    at_end: Callable[[], None] | None = None,
) -> None:
    """Let client and command talk until one of them is gone, and tell the other one.

    What a command has left in the background may go on talking to its client, as with
    every SSH server; at a terminal, which `at_end` lets go, only for a moment.
    """
    feeding = asyncio.ensure_future(copy_in)
    output: asyncio.Future[Any] = asyncio.gather(*copies_out)
    ended: asyncio.Future[Any] = asyncio.ensure_future(child.wait())
    left: asyncio.Future[Any] = asyncio.ensure_future(process.channel.wait_closed())
    try:
        await asyncio.wait({ended, left}, return_when=_FIRST)
        if ended.done():
            if at_end:
                at_end()
            patience = _LAST_WORDS_SECONDS if at_end else None
            await asyncio.wait({output, left}, timeout=patience, return_when=_FIRST)
            _exit(process, ended.result())
    finally:
        _hang_up(child)
        for task in (feeding, output, ended, left):
            task.cancel()
        await asyncio.gather(feeding, output, ended, left, return_exceptions=True)


async def _copy_in(process: Process, sink: asyncio.StreamWriter, pid: int) -> None:
    """Pass on what the client types and does, until it says that this was all."""
    with suppress(OSError, asyncssh.Error):
        while True:
            try:
                data = await process.stdin.read(_CHUNK)
            except asyncssh.TerminalSizeChanged:
                _resize(sink.get_extra_info("pipe").fileno(), process)
            except asyncssh.BreakReceived:
                _signal(pid, "INT")
            except asyncssh.SignalReceived as received:
                _signal(pid, received.signal)
            else:
                if not data:
                    break
                sink.write(data)
                await sink.drain()
    if process.term_type is None:
        sink.close()


async def _copy_out(source: asyncio.StreamReader, sink: asyncssh.SSHWriter[bytes]) -> None:
    """Pass on what a command says, until it is silent or nobody listens."""
    # A terminal that nobody has open any more answers with an input/output error.
    with suppress(OSError, asyncssh.Error):
        while data := await source.read(_CHUNK):
            sink.write(data)
            await sink.drain()


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


def _exit(process: Process, code: int) -> None:
    with suppress(OSError):
        if code >= 0:
            process.exit(code)
        else:
            process.exit_with_signal(signal.Signals(-code).name.removeprefix("SIG"))


def _signal(pid: int, name: str) -> None:
    """Send the signal called `name`, if there is one, to whatever runs in the foreground."""
    number = getattr(signal, f"SIG{name}", None)
    if number is not None:
        with suppress(ProcessLookupError):
            os.killpg(pid, number)


def _hang_up(child: asyncio.subprocess.Process) -> None:
    """End a command that nobody waits for any more."""
    if child.returncode is None:
        _signal(child.pid, "HUP")
