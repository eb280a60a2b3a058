"""Machines for the tests: real SSH servers on loopback, and servers that only look like it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta

import asyncssh
import pytest

from broker.model import KeyType
from broker.ssh.connection import SshPool
from broker.ssh.errors import NotYet, NotYetReason
from broker.ssh.keys import generate
from broker.ssh.login import SshResult
from providers.base import Endpoint
from tests.waiting import eventually

LONG = timedelta(seconds=60)
"""Never waited for: what must happen happens at once."""
SHORT = timedelta(milliseconds=200)

KEY = generate(KeyType.ED25519, "test")
OTHER_KEY = generate(KeyType.ED25519, "other")
HOST_KEYS = {
    name: asyncssh.generate_private_key(name) for name in ("ssh-ed25519", "ecdsa-sha2-nistp256")
}


def public(host_key: asyncssh.SSHKey) -> str:
    """A host key as `SshResult` tells it."""
    return " ".join(host_key.export_public_key().decode().split()[:2])


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another task or thread is about to do."""

    async def look() -> bool:
        return condition()

    await eventually(look)


@dataclass
class Machine:
    """A real SSH server on loopback, and what it has seen."""

    authorized: set[str] = field(default_factory=lambda: {KEY.public_line})
    drops_logins: bool = False
    runs_commands: bool = True
    shell: tuple[str, str] = ("sh", "/bin/sh")
    """What a command's shell is called, and what it is."""
    connected: int = 0
    started: int = 0
    tried_keys: int = 0
    closed: int = 0
    port: int = 0

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint("127.0.0.1", self.port)

    async def run(self, process: asyncssh.SSHServerProcess[str]) -> None:
        """What the machine does with a command: a few words of its own, else the shell's."""
        self.started += 1
        match (process.command or "").split():
            case ["flood", stream, size]:
                out = process.stdout if stream == "stdout" else process.stderr
                out.write("x" * int(size))
                with suppress(asyncssh.Error, OSError):
                    await out.drain()
                process.exit(0)
            case ["hang"]:
                await process.stdout.channel.wait_closed()
            case ["drop"]:
                process.stdout.write("half")
                process.channel.get_connection().abort()
            case ["die"]:
                process.exit_with_signal("KILL")
            case _:
                await self._shell(process)

    async def _shell(self, process: asyncssh.SSHServerProcess[str]) -> None:
        shell = await asyncio.create_subprocess_exec(
            self.shell[0],
            "-c",
            f"{process.command}\nexit $?",  # or the shell would become the command
            executable=self.shell[1],
            stdout=-1,
            stderr=-1,
            stdin=-1,
        )
        typed = await process.stdin.read()
        stdout, stderr = await shell.communicate(typed.encode())
        process.stdout.write(stdout.decode())
        process.stderr.write(stderr.decode())
        process.exit(shell.returncode or 0)


class _Server(asyncssh.SSHServer):
    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self.connection = conn
        self.machine.connected += 1

    def connection_lost(self, _: Exception | None) -> None:
        self.machine.closed += 1

    def begin_auth(self, _: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        self.machine.tried_keys += 1
        if self.machine.drops_logins and self.connection is not None:
            self.connection.abort()
        shown = {" ".join(line.split()[:2]) for line in self.machine.authorized}
        return username == "root" and public(key) in shown

    def session_requested(self) -> bool | asyncssh.SSHServerProcess[str]:
        if not self.machine.runs_commands:
            return False
        return asyncssh.SSHServerProcess(self.machine.run, None, 3, False)


Boot = Callable[..., Awaitable[Machine]]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Listen = Callable[[Serve], Awaitable[Endpoint]]


@pytest.fixture
async def boot() -> AsyncIterator[Boot]:
    """Starts machines; they end with the test."""
    async with AsyncExitStack() as running:

        async def start(*host_keys: str) -> Machine:
            machine = Machine()
            keys = [HOST_KEYS[name] for name in host_keys or ("ssh-ed25519",)]
            server = await asyncssh.create_server(
                lambda: _Server(machine), "127.0.0.1", 0, server_host_keys=keys
            )
            running.push_async_callback(server.wait_closed)
            running.callback(server.close)
            machine.port = server.get_port()
            return machine

        yield start


@pytest.fixture
async def listen() -> AsyncIterator[Listen]:
    """Starts TCP servers that are no SSH servers; they end with the test."""
    handlers = set[asyncio.Task[None]]()
    async with AsyncExitStack() as running:

        async def start(serve: Serve) -> Endpoint:
            async def serve_and_close(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter
            ) -> None:
                handler = asyncio.current_task()
                assert handler is not None
                handlers.add(handler)
                with suppress(ConnectionError, asyncio.CancelledError):
                    await serve(reader, writer)
                writer.close()
                handlers.discard(handler)

            server = await asyncio.start_server(serve_and_close, "127.0.0.1", 0)
            running.callback(server.close)
            return Endpoint(*server.sockets[0].getsockname())

        yield start
        for handler in tuple(handlers):
            handler.cancel()
        await asyncio.gather(*handlers)


@pytest.fixture
def pool() -> Iterator[SshPool]:
    """A pool of few threads."""
    pool = SshPool(threads=4)
    yield pool
    pool.close()


async def log_in(
    pool: SshPool,
    machine: Machine | Endpoint,
    command: str = "true",
    *,
    key: str = KEY.private_pem,
    host_keys: tuple[str, ...] = (),
    timeout: timedelta = LONG,  # noqa: ASYNC109
) -> SshResult:
    """One login as root."""
    endpoint = machine.endpoint if isinstance(machine, Machine) else machine
    return await pool.run(endpoint, "root", key, command, host_keys=host_keys, timeout=timeout)


@asynccontextmanager
async def not_yet(reason: NotYetReason) -> AsyncIterator[None]:
    """What is inside must fail for this reason, which may pass."""
    with pytest.raises(NotYet) as failure:
        yield
    assert failure.value.reason is reason


async def hang_up(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    """Accepts a connection, and that is all."""


async def stay_silent(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    """Accepts a connection and keeps it."""
    await asyncio.Event().wait()


async def greet_and_hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Names itself and goes."""
    writer.write(b"SSH-2.0-early\r\n")
    await writer.drain()


async def greet_and_stay_silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Names itself and says nothing more."""
    writer.write(b"SSH-2.0-slow\r\n")
    await asyncio.Event().wait()
