"""A TCP server that answers every HTTP request in one way, and counts them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class IllServer:
    """Where it listens, and the requests that it has read, in order."""

    url: str
    requests: list[bytes] = field(default_factory=list)


async def hangs_up(writer: asyncio.StreamWriter) -> None:
    """The connection ends without a word."""


async def says_nothing(writer: asyncio.StreamWriter) -> None:
    """The connection stays open."""
    await asyncio.get_running_loop().create_future()


async def drips(writer: asyncio.StreamWriter) -> None:
    """A header, then blanks that never end."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=0.01)


async def floods(writer: asyncio.StreamWriter) -> None:
    """A body of 50 MB."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 52428800\r\n\r\n")
    for _ in range(50):
        writer.write(b"x" * (1 << 20))
        await writer.drain()


def answers(text: bytes) -> Behaviour:
    """Exactly these bytes, then the end of the connection."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        await writer.drain()

    return answer


@asynccontextmanager
async def ill_server(behaviour: Behaviour) -> AsyncIterator[IllServer]:
    """Run one on loopback."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            server.requests.append(head)
            await behaviour(writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            tasks.discard(task)

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    server = IllServer(f"http://127.0.0.1:{port}")
    try:
        yield server
    finally:
        listening.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
