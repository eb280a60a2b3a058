"""A client that keeps connections busy, in a process of its own.

`python -m bench.load PORT CONNECTIONS SECONDS PAUSE` asks on every connection again as soon as
it is answered, though no sooner than PAUSE seconds after it asked last, for one path after the
other of the JSON list on its standard input, and prints what it saw as JSON. It reads of an
answer no more than its length, so that it is never slower than what it asks.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
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


def load(
    port: int, paths: Sequence[str], connections: int, seconds: float, pause: float = 0.0
) -> Load:
    """Ask from another process, and wait for it."""
    options = map(str, (port, connections, seconds, pause))
    client = subprocess.run(
        [sys.executable, "-m", "bench.load", *options],
        input=json.dumps(paths).encode(),
        stdout=subprocess.PIPE,
        check=True,
    )
    return Load(**json.loads(client.stdout))


class _Connection(asyncio.Protocol):
    """One connection that waits for one answer at a time."""

    def __init__(
        self, requests: Iterator[bytes], begins_in: float, until: float, pause: float
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.is_over = self._loop.create_future()
        self.latencies: list[float] = []
        self._requests = requests
        self._begins_in = begins_in
        self._until = until
        self._pause = pause
        self._head = b""
        self._missing = 0
        self._asked_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._loop.call_later(self._begins_in, self._ask)

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
        rest = self._asked_at + self._pause - now
        if now + max(rest, 0.0) >= self._until:
            self.is_over.set_result(None)
            self._transport.close()
        elif rest > 0:
            self._loop.call_later(rest, self._ask)
        else:
            self._ask()


async def ask(
    port: int, paths: Sequence[str], connections: int, seconds: float, pause: float
) -> Load:
    """Keep that many connections busy for that long; where they pause, they take turns."""
    loop = asyncio.get_running_loop()
    head = f" HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"
    requests = cycle([f"GET {path}{head}".encode() for path in paths])
    begun = perf_counter()
    opened = [
        await loop.create_connection(
            partial(_Connection, requests, turn * pause / connections, begun + seconds, pause),
            "127.0.0.1",
            port,
        )
        for turn in range(connections)
    ]
    await asyncio.gather(*(connection.is_over for _, connection in opened))
    latencies = [latency for _, connection in opened for latency in connection.latencies]
    return Load(perf_counter() - begun, latencies)


if __name__ == "__main__":
    _port, _connections, *_times = sys.argv[1:]
    _asking = ask(int(_port), json.load(sys.stdin), int(_connections), *map(float, _times))
    _seen = asyncio.run(_asking)
    print(json.dumps(asdict(_seen)))
