"""From an address to a connection on which an SSH host has named itself.

All of it runs on the event loop, so that a host that is dead, filtered or half booted
occupies no thread while we wait for it.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from broker.ssh.errors import NotYet, NotYetReason
from providers.base import Endpoint

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_Address = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]

LONGEST_GREETING = 8192
"""Bytes that a server may send up to the end of its identification line."""


class Line(socket.socket):
    """A TCP connection that is opened on the event loop and then used up by threads.

    The file descriptor is freed by `release` alone, when no thread reads it any more:
    freed earlier, its number could already belong to another machine's connection.
    """

    def __init__(self, family: int) -> None:
        super().__init__(family, socket.SOCK_STREAM)
        self.setblocking(False)
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.greeting = b""
        """What the server has sent so far; read once more by the first to call `recv`."""
        self._freeing = threading.Lock()
        self._turn: threading.Lock | None = None
        self._worker = 0

    def take_turns(self, turn: threading.Lock) -> None:
        """Let go of `turn`, which the calling thread holds, whenever that thread waits here."""
        self._turn, self._worker = turn, threading.get_ident()

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        if self.greeting:
            part, self.greeting = self.greeting[:bufsize], self.greeting[bufsize:]
            return part
        with self._letting_others():
            return super().recv(bufsize, flags)

    def send(self, data: ReadableBuffer, flags: int = 0) -> int:
        with self._letting_others():
            return super().send(data, flags)

    def close(self) -> None:
        """Hang up: whoever reads or writes learns it at once."""
        with self._freeing, suppress(OSError):
            self.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Hang up and free the file descriptor."""
        with self._freeing:
            super().close()

    @contextmanager
    def _letting_others(self) -> Iterator[None]:
        if self._turn is None or self._worker != threading.get_ident():
            yield
            return
        self._turn.release()
        try:
            yield
        finally:
            self._turn.acquire()


async def dial(endpoint: Endpoint, lookups: Executor, limit: timedelta) -> Line:
    """Connect to the first address of `endpoint` that answers, and read its greeting.

    Names are looked up in `lookups`. `limit` is the time that all addresses share.
    The caller releases the line. Raises `NotYet`.
    """
    with _told_as_not_yet():
        async with asyncio.timeout(limit.total_seconds()):
            addresses = await _resolve(endpoint, lookups)
            share = limit.total_seconds() / len(addresses)
            for family, address in addresses[:-1]:
                with suppress(OSError, NotYet):
                    async with asyncio.timeout(share):
                        return await _open(family, address)
            return await _open(*addresses[-1])


def identification(greeting: bytes) -> str | None:
    """The line `SSH-2.0-…` of a greeting, once it is complete; other lines may precede it."""
    for line in greeting.splitlines(keepends=True):
        if line.startswith(b"SSH-") and line.endswith(b"\n"):
            return line.strip().decode("ascii", "replace")
    return None


@contextmanager
def _told_as_not_yet() -> Iterator[None]:
    try:
        yield
    except (socket.gaierror, UnicodeError):
        raise NotYet(NotYetReason.UNRESOLVED) from None
    except TimeoutError:
        raise NotYet(NotYetReason.TIMED_OUT) from None
    except ConnectionRefusedError:
        raise NotYet(NotYetReason.REFUSED) from None
    except ConnectionError:
        raise NotYet(NotYetReason.CLOSED) from None
    except OSError:
        raise NotYet(NotYetReason.UNREACHABLE) from None


async def _resolve(endpoint: Endpoint, lookups: Executor) -> list[tuple[int, _Address]]:
    def look_up(flags: int) -> list[tuple[int, _Address]]:
        found = socket.getaddrinfo(
            endpoint.host, endpoint.port, type=socket.SOCK_STREAM, flags=flags
        )
        return [(family, address) for family, _, _, _, address in found]

    try:
        return look_up(socket.AI_NUMERICHOST)  # asks nobody
    except socket.gaierror:
        return await asyncio.get_running_loop().run_in_executor(lookups, look_up, 0)


async def _open(family: int, address: _Address) -> Line:
    line = Line(family)
    try:
        await asyncio.get_running_loop().sock_connect(line, address)
        line.greeting = await _read_greeting(line)
    except BaseException:
        line.release()
        raise
    return line


async def _read_greeting(line: Line) -> bytes:
    greeting = b""
    while identification(greeting) is None:
        if len(greeting) > LONGEST_GREETING:
            raise NotYet(NotYetReason.NO_AGREEMENT)
        chunk = await asyncio.get_running_loop().sock_recv(line, LONGEST_GREETING)
        if not chunk:
            raise NotYet(NotYetReason.CLOSED)
        greeting += chunk
    return greeting
