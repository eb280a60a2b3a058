"""A client that keeps connections busy, in a process of its own.

`python -m bench.load PORT CONNECTIONS SECONDS` asks on every connection again as soon as it
is answered, for one path after the other of the JSON list on its standard input, and prints
what it saw as JSON. It reads of an answer no more than its length, so that it is never
slower than what it asks.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle
from time import perf_counter

_OK = b"HTTP/1.1 200 "
_LENGTH = b"\r\nContent-Length: "
_END_OF_LINE = b"\r\n"
_END_OF_HEAD = _END_OF_LINE * 2


@dataclass(frozen=True, slots=True)
class Load:
    """What one client saw."""

    seconds: float
    latencies: list[float]
    """Seconds of every answer."""

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.latencies) / self.seconds


def load(port: int, paths: Sequence[str], connections: int, seconds: float) -> Load:
    """Ask from another process, and wait for it."""
    command = [sys.executable, "-m", "bench.load", str(port), str(connections), str(seconds)]
    client = subprocess.run(
        command, input=json.dumps(paths).encode(), stdout=subprocess.PIPE, check=True
    )
    return Load(**json.loads(client.stdout))


class _Connection(asyncio.Protocol):
    """One connection that always waits for one answer."""

    def __init__(self, requests: Iterator[bytes], until: float) -> None:
        self.is_over = asyncio.get_running_loop().create_future()
        self.latencies: list[float] = []
        self._requests = requests
        self._until = until
        self._head = b""
        self._missing = 0
        self._asked_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        if self._missing:
            self._missing -= len(data)
        elif not self._begun(self._head + data):
            return
        if not self._missing:
            self._answered()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.is_over.done():
            self.is_over.set_exception(exc or EOFError("the server hung up"))

    def _begun(self, data: bytes) -> bool:
        """Whether the head of an answer is whole; then what is missing of its body is known."""
        end = data.find(_END_OF_HEAD)
        self._head = data if end < 0 else b""
        if end < 0:
            return False
        begin = data.find(_LENGTH, 0, end) + len(_LENGTH)
        assert data.startswith(_OK), data[:end]
        assert begin >= len(_LENGTH), data[:end]
        length = int(data[begin : data.index(_END_OF_LINE, begin)])
        self._missing = length - (len(data) - end - len(_END_OF_HEAD))
        return True

    def _ask(self) -> None:
        self._asked_at = perf_counter()
        self._transport.write(next(self._requests))

    def _answered(self) -> None:
        now = perf_counter()
        self.latencies.append(now - self._asked_at)
        if now < self._until:
            self._ask()
        else:
            self.is_over.set_result(None)
            self._transport.close()


async def ask(port: int, paths: Sequence[str], connections: int, seconds: float) -> Load:
    """Keep that many connections busy for that long."""
    loop = asyncio.get_running_loop()
    head = f" HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"
    requests = cycle([f"GET {path}{head}".encode() for path in paths])
    begun = perf_counter()
    opened = [
        await loop.create_connection(
            lambda: _Connection(requests, begun + seconds), "127.0.0.1", port
        )
        for _ in range(connections)
    ]
    await asyncio.gather(*(connection.is_over for _, connection in opened))
    latencies = [latency for _, connection in opened for latency in connection.latencies]
    return Load(perf_counter() - begun, latencies)


if __name__ == "__main__":
    _port, _connections, _seconds = sys.argv[1:]
    _seen = asyncio.run(ask(int(_port), json.load(sys.stdin), int(_connections), float(_seconds)))
    print(json.dumps(asdict(_seen)))
