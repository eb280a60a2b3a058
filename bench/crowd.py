"""Thousands of live sessions, while others come and go: latency, memory, and what is left.

    python -m bench.crowd                              5,000 sessions, ten minutes
    python -m bench.crowd --sessions 500 --minutes 1   a smaller crowd

The installed broker runs in a process of its own on the simulated market; its machines are
records that answer at one port of this process, so that it measures the broker and not the
machines. Sessions come and go at a steady pace whatever the answers are. They are asked for by
a third process that does nothing else: how long an answer takes is counted there, from sending
the question to the last byte, so that it waits for nothing that happens here. All three share
the machine. Exit code 1: a figure was not reached.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

import aiohttp

from bench.brokers import Installed, call, installed
from bench.figures import Figure, count, fits, megabytes, percentile, ratio, seconds, show
from bench.load import load
from bench.processes import cpu_seconds, memory_mb
from broker.clock import utcnow
from broker.model import KeyType
from broker.ssh.keys import generate
from providers.simulator.account import Account

SESSIONS, MINUTES = 5_000, 10.0
COMINGS = 200
"""Creations a minute, and as many ends."""
_ASKING = 20
"""Clients that each ask for a session once a second, in turn."""
_AT_ONCE = 32
"""Creations under way at a time while the crowd gathers."""
_SETTLED = 2 * 60.0
"""Seconds after which memory is what it should stay."""
_PATIENCE = 180.0
_BETWEEN_LOOKS = 1.0


@dataclass
class Crowd:
    """The sessions that live, as their clients know them."""

    client: aiohttp.ClientSession
    public_key: str
    live: list[str] = field(default_factory=list)
    creations: list[float] = field(default_factory=list)
    """Seconds of every creation."""
    failures: list[str] = field(default_factory=list)
    """What was not answered as it should be."""
    number: int = 0

    async def come(self, _: float = 0.0) -> None:
        """A consumer rents."""
        self.number += 1
        body = {
            "consumer_id": f"consumer-{self.number}",
            "workload_type": "llm",
            "reservation_hours": 8,
            "min_vram": 1,
            "allow_unverified": True,
            "ssh_public_key": self.public_key,
            "managed_access": False,
        }
        begun = monotonic()
        answer = await self._call("POST", "/api/v1/sessions", body)
        self.creations.append(monotonic() - begun)
        if answer is not None:
            self.live.append(answer["session"]["id"])

    async def go(self, _: float = 0.0) -> None:
        """A consumer taken at random is done."""
        session_id = self.live.pop(random.randrange(len(self.live)))
        await self._call("POST", f"/api/v1/sessions/{session_id}/done")

    def paths(self) -> list[str]:
        """What the consumers who are there now ask for, in any order."""
        return [f"/api/v1/sessions/{one}" for one in random.sample(self.live, len(self.live))]

    async def _call(self, method: str, path: str, body: Any = None) -> Any:
        try:
            return await call(self.client, method, path, body)
        except (AssertionError, aiohttp.ClientError, TimeoutError) as error:
            self.failures.append(f"{method} {path}: {error}")
            return None


async def run(sessions: int, minutes: float) -> list[Figure]:
    """Let a crowd gather, keep it for so long, and look what is left."""
    server = await asyncio.start_server(_say_ssh, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    key = generate(KeyType.ED25519, "bench").public_line
    with (
        TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        installed(
            Path(folder),
            program=[sys.executable, "-m", "bench.crowded", str(port)],
            SIMULATOR_DRIFT="0s",
            SIMULATOR_BOOT_TIME="1s",
            PROVIDERS_SIMULATOR_SSH="false",
            PROVIDERS_SIMULATOR_OFFERS=str(sessions + 2 * COMINGS + 200),
        ) as broker,
    ):
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(broker.url, connector=connector) as client:
            crowd = Crowd(client, key)
            gathered = await _gather(crowd, sessions)
            kept = await _keep(crowd, broker, minutes * 60)
            at_rest = await _at_rest(crowd, broker)
            return [gathered, *kept, *at_rest]


async def _gather(crowd: Crowd, sessions: int) -> Figure:
    """Rent for everybody, and wait until all run."""
    begun = monotonic()
    turns = asyncio.Semaphore(_AT_ONCE)

    async def come() -> None:
        async with turns:
            await crowd.come()

    await asyncio.gather(*(come() for _ in range(sessions)))
    await _until_nothing_is_under_way(crowd)
    took = monotonic() - begun
    crowd.creations.clear()
    print(f"{len(crowd.live)} sessions live after {took:.0f} s", file=sys.stderr, flush=True)
    return seconds(f"until {sessions} sessions are live", took)


async def _keep(crowd: Crowd, broker: Installed, duration: float) -> list[Figure]:
    """Let consumers come and go, let those who were there ask, and watch the broker meanwhile."""
    memory: list[tuple[float, float]] = []

    async def watch(due: float) -> None:
        memory.append((due - begun, memory_mb(broker.pid)))

    begun, computed = monotonic(), cpu_seconds(broker.pid)
    coming = COMINGS / 60
    asked, *_ = await asyncio.gather(
        asyncio.to_thread(load, broker.port, crowd.paths(), _ASKING, duration, pause=1.0),
        _at_pace(crowd.come, coming, duration),
        _at_pace(crowd.go, coming, duration),
        _at_pace(watch, 0.2, duration),
    )
    computed = cpu_seconds(broker.pid) - computed
    settled = next((mb for at, mb in memory if at >= _SETTLED), memory[0][1])
    return [
        count("creations meanwhile", len(crowd.creations)),
        count("answers that were not good", len(crowd.failures), 0),
        *(Figure("not good", text[:90]) for text in crowd.failures[:3]),
        seconds("GET /sessions/{id}, p99", percentile(asked.latencies, 0.99), below=0.05),
        seconds("GET /sessions/{id}, median", percentile(asked.latencies, 0.5)),
        seconds("GET /sessions/{id}, slowest", max(asked.latencies)),
        seconds("POST /sessions, p99", percentile(crowd.creations, 0.99)),
        Figure("the broker's share of one core", f"{computed / (monotonic() - begun):.0%}"),
        megabytes("resident after two minutes", settled),
        megabytes("resident at the end", memory[-1][1]),
        ratio("resident, end to two minutes", memory[-1][1] / settled, below=1.1),
    ]


async def _at_rest(crowd: Crowd, broker: Installed) -> list[Figure]:
    """What lives when nobody comes or goes any more, in the records and in the account."""
    await _until_nothing_is_under_way(crowd)
    running = await call(crowd.client, "GET", "/api/v1/sessions?status=running")
    held = {one["provider_instance_id"] for one in running["sessions"]}
    account = Account(broker.folder)
    alive = {str(machine.id) for machine in account.live(utcnow())}
    account.close()
    failed = await call(crowd.client, "GET", "/api/v1/sessions?status=failed&limit=1")
    return [
        count("sessions live at the end", len(held), len(crowd.live)),
        count("sessions failed", failed["total"], 0),
        count("machines that no session holds", len(alive - held), 0),
        count("sessions without a machine", len(held - alive), 0),
    ]


async def _until_nothing_is_under_way(crowd: Crowd) -> None:
    query = "/api/v1/sessions?status=pending,provisioning,stopping&limit=1"
    async with asyncio.timeout(_PATIENCE):
        while (await call(crowd.client, "GET", query))["total"]:
            await asyncio.sleep(_BETWEEN_LOOKS)


async def _at_pace(
    act: Callable[[float], Awaitable[None]], per_second: float, duration: float
) -> None:
    """Act at a steady pace, whether or not what went before is done.

    `act` is told the instant at which it was due, by the monotonic clock.
    """
    begun = monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(int(duration * per_second)):
            due = begun + number / per_second
            await asyncio.sleep(max(due - monotonic(), 0))
            group.create_task(_awaited(act, due))


async def _awaited(act: Callable[[float], Awaitable[None]], due: float) -> None:
    await act(due)


async def _say_ssh(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """All that is asked of a machine whose owner keeps the key: that an SSH host answers."""
    writer.write(b"SSH-2.0-bench\r\n")
    await writer.drain()
    writer.close()


def main(arguments: Sequence[str]) -> int:
    """Measure, and print the table; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.crowd", description="Load a broker.")
    parser.add_argument("--sessions", type=int, default=SESSIONS, help="live all the time")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of coming and going")
    parser.add_argument("--plain", action="store_true", help="print the table as plain text")
    options = parser.parse_args(arguments)
    figures = asyncio.run(run(options.sessions, options.minutes))
    show([("crowd", figure) for figure in figures], is_plain=options.plain)
    return 0 if all(map(fits, figures)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
