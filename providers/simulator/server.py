"""One running machine: its ports, its SSH server, and in entrypoint mode its HTTP server.

The ports are taken as soon as the machine is known and kept for ever; until something
listens on them, connections are refused.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import asyncssh

from providers.base import LaunchMode
from providers.simulator.endpoint import start_endpoint
from providers.simulator.home import Home
from providers.simulator.machine import HOST, ROOT, Machine
from providers.simulator.shell import Process, run_script, serve_command, serve_terminal

ON_START_LOG = "onstart.log"

_PORTS = range(20_000, 32_768)
"""Below what systems give to outgoing connections, so that a port is free after a restart."""
_TRIES = 100


class MachineServer:
    """Everything of one machine that answers."""

    def __init__(self, machine: Machine, data_dir: Path, now: Callable[[], datetime]) -> None:
        self.machine = machine
        self.home = Home(data_dir, machine)
        self._now = now
        self._is_up = False
        self._ssh_socket: socket.socket | None = None
        self._http_sockets: dict[int, socket.socket] = {}
        self._acceptor: asyncssh.SSHAcceptor | None = None
        self._endpoints: list[asyncio.Server] = []
        self._connections: set[asyncssh.SSHServerConnection] = set()
        self._terminals: dict[Process, str] = {}
        self._on_start: asyncio.Task[None] | None = None

    def take_ports(self) -> tuple[int, Mapping[int, int]]:
        """Take the recorded ports, or free ones: that of SSH, and those of the published ports.

        Raises `OSError` where somebody else uses one; then nothing is held.
        """
        machine = self.machine
        try:
            self._ssh_socket = _bound(machine.ssh_port)
            for inside in machine.launch.ports:
                self._http_sockets[inside] = _bound(machine.published.get(inside))
        except OSError:
            self._release_ports()
            raise
        return _port(self._ssh_socket), {
            inside: _port(taken) for inside, taken in self._http_sockets.items()
        }

    async def settle(self, now: datetime) -> bool:
        """Let everything answer that should at `now`; returns whether it has just gone down."""
        if not self.machine.is_up(now):
            was_up, self._is_up = self._is_up, False
            if was_up:
                await self.close()
            return was_up
        if not self._is_up:
            self._is_up = True
            self._show_users()
        self._start_once()
        if self._acceptor is None and self.machine.is_connecting(now):
            self._acceptor = await self._listen()
        if not self._endpoints and self.machine.launch.launch_mode is LaunchMode.ENTRYPOINT:
            self._endpoints = [
                await start_endpoint(self.machine.launch, taken)
                for taken in self._http_sockets.values()
            ]
        return False

    async def close(self) -> None:
        """Hang up on everybody and answer no more."""
        if self._on_start:
            self._on_start.cancel()
        if self._acceptor:
            self._acceptor.close()
            self._acceptor = None
        for connection in tuple(self._connections):
            connection.abort()
        for endpoint in self._endpoints:
            endpoint.close()
        self._endpoints = []
        self._release_ports()

    async def run(self, process: Process) -> None:
        """Serve one command or shell of a client."""
        if process.term_type is None:
            await serve_command(process, self.home)
            return
        try:
            await serve_terminal(process, self.home, lambda name: self._sit_down(process, name))
        finally:
            self._terminals.pop(process, None)
            self._show_users()

    def accepts(self, key: asyncssh.SSHKey) -> bool:
        """Whether a client with this key may log in now."""
        return self.machine.is_accepting_keys(self._now()) and self.home.accepts(key.public_data)

    def joined(self, connection: asyncssh.SSHServerConnection) -> None:
        self._connections.add(connection)

    def left(self, connection: asyncssh.SSHServerConnection) -> None:
        self._connections.discard(connection)

    async def _listen(self) -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            sock=self._ssh_socket,
            server_factory=lambda: _Login(self),
            server_host_keys=[asyncssh.import_private_key(self.machine.launch.host_key)],
            process_factory=self.run,
            sftp_factory=lambda channel: _Files(channel, self),
            allow_scp=True,
            encoding=None,
            line_editor=False,
            agent_forwarding=False,
            x11_forwarding=False,
            compression_algs=None,
        )

    def _start_once(self) -> None:
        script = self.home.take_on_start()
        if script is not None:
            self._on_start = asyncio.create_task(
                run_script(script, self.home, ON_START_LOG), name=f"on_start {self.machine.id}"
            )

    def _sit_down(self, process: Process, terminal: str) -> None:
        """Somebody is at a terminal."""
        (peer, *_) = process.get_extra_info("peername") or ("",)
        since = self._now().strftime("%Y-%m-%d %H:%M")
        user = self.machine.launch.user
        self._terminals[process] = f"{user:<8} {terminal:<12} {since} ({peer})"
        self._show_users()

    def _show_users(self) -> None:
        with suppress(FileNotFoundError):
            self.home.show_users(self._terminals.values())

    def _release_ports(self) -> None:
        for taken in (self._ssh_socket, *self._http_sockets.values()):
            if taken:
                taken.close()
        self._ssh_socket = None
        self._http_sockets.clear()


class _Login(asyncssh.SSHServer):
    """One connection: who may log in, and when it is told."""

    def __init__(self, server: MachineServer) -> None:
        self._server = server
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._server.joined(conn)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if self._connection:
            self._server.left(self._connection)

    async def begin_auth(self, username: str) -> bool:  # noqa: ARG002
        await asyncio.sleep(self._server.machine.fate.answer_delay.total_seconds())
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return username == self._server.machine.launch.user and self._server.accepts(key)


class _Files(asyncssh.SFTPServer):
    """The files as the machine's shell sees them; the home is called as on a real machine."""

    def __init__(self, channel: asyncssh.SSHServerChannel[bytes], server: MachineServer) -> None:
        super().__init__(channel)
        user = server.machine.launch.user
        self._called = b"/root" if user == ROOT else b"/home/" + user.encode()
        self._home = str(server.home.path).encode()

    def exit(self) -> None:
        """End as a server should; without its exit status `scp` takes the copy for failed."""
        self.channel.exit(0)

    def map_path(self, path: bytes) -> bytes:
        if path == self._called or path.startswith(self._called + b"/"):
            return self._home + path.removeprefix(self._called)
        return path if path.startswith(b"/") else self._home + b"/" + path


def _bound(port: int | None) -> socket.socket:
    """A socket that holds `port`, or any free one."""
    if port is not None:
        # Connections of the last run that are not quite over are no obstacle.
        return _bind(port, reuse=True)
    for candidate in random.sample(_PORTS, _TRIES):
        with suppress(OSError):
            return _bind(candidate, reuse=False)
    return _bind(0, reuse=False)


def _bind(port: int, *, reuse: bool) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(reuse))
        bound.bind((HOST, port))
        # From here on it is for the connections: they must be no obstacle to the next run.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    except OSError:
        bound.close()
        raise
    return bound


def _port(bound: socket.socket) -> int:
    port: int = bound.getsockname()[1]
    return port
