"""The broker to torment: a process that is killed, starved, misled, and started again."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from time import monotonic, sleep

import aiohttp

from bench.brokers import ROOT, free_port
from bench.storm.clocks import Shift
from bench.storm.shifted import SECONDS
from bench.storm.troubles import FULL_DISK, LOCKED, SLOW, Troubles

_START_PATIENCE = 60.0
_STOP_PATIENCE = 15.0
_BETWEEN_LOOKS = 0.05
_BETWEEN_STARTS = 1.0
_REFUSAL = timedelta(seconds=10)
"""How long ago a trouble may be that lets a start be refused."""
_OK = 200
SETTINGS = {
    "DEPLOYMENT_ID": "chaos",
    "LIFECYCLE_CHECK_INTERVAL": "500ms",
    "RECONCILIATION_INTERVAL": "2s",
    "ORPHAN_GRACE_PERIOD": "4s",
    "LIFECYCLE_LOST_AFTER": "4s",
    "SSH_VERIFY_TIMEOUT": "30s",
    "SSH_CHECK_INTERVAL": "200ms",
    "INVENTORY_CACHE_TTL": "2s",
    "LOG_LEVEL": "warning",
}
"""The whole lifecycle in seconds."""


class Target:
    """One data folder, and the broker that works on it unless it was just killed."""

    def __init__(self, folder: Path, environment: Mapping[str, str], troubles: Troubles) -> None:
        self.database = folder / "data" / "gpu-broker.db"
        self.log = folder / "broker.log"
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.shifts = [Shift(troubles.now(), timedelta())]
        self.died: list[int] = []
        """Exit codes of brokers that ended although nobody had told them to."""
        self.slow_stops = 0
        """Stops that did not end in time."""
        self._troubles = troubles
        self._clock = folder / "clock"
        self._clock.write_bytes(SECONDS.pack(0.0))
        self._environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ROOT),
            "DATABASE_PATH": str(self.database),
            **SETTINGS,
            **environment,
        }
        program = [sys.executable, "-m", "bench.storm.shifted", str(self._clock)]
        self._command = [*program, "serve", "--port", str(port)]
        self._process: subprocess.Popen[bytes] | None = None
        self._turn, self._disk = asyncio.Lock(), asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """The process; None while there is none."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start the broker, again and again where it refuses, until it takes sessions."""
        trouble = self._troubles.begin("down")
        while not await self._is_started():
            await asyncio.sleep(_BETWEEN_STARTS)
        self._troubles.end(trouble)

    async def restart(self, signum: signal.Signals, pause: float = 0.0) -> None:
        """End the broker with SIGKILL, or in order with SIGTERM, and start it after a pause."""
        async with self._turn:
            trouble = self._troubles.begin("down")
            await self._end(signum)
            await asyncio.sleep(pause)
            await self.start()
            self._troubles.end(trouble)

    async def watch(self) -> None:
        """Start the broker again whenever it has ended by itself."""
        while True:
            await asyncio.sleep(_BETWEEN_LOOKS)
            async with self._turn:
                if self._process and self._process.poll() is not None:
                    self.died.append(self._process.returncode)
                    await self.start()

    async def close(self) -> None:
        """Leave nothing running."""
        async with self._turn:
            await self._end(signal.SIGTERM)

    async def freeze(self, seconds: float) -> None:
        """Let the process stand still, as a computer that sleeps."""
        if self._process is None:
            return
        process, trouble = self._process, self._troubles.begin("frozen")
        process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        process.send_signal(signal.SIGCONT)
        self._troubles.end(trouble)

    def jump(self, by: timedelta) -> None:
        """Set the broker's wall clock, and nobody else's."""
        ahead = self.shifts[-1].ahead + by
        self._clock_file(ahead)
        self.shifts.append(Shift(self._troubles.now(), ahead))
        self._troubles.strike("jump")

    async def fill_disk(self, seconds: float) -> None:
        """No file of the broker can be written for so long."""
        async with self._disk:
            if (pid := self.pid) is None:
                return
            trouble = self._troubles.begin(FULL_DISK)
            unlimited = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, unlimited[1]))
            await asyncio.sleep(seconds)
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)
            self._troubles.end(trouble)

    async def lock_database(self, seconds: float, *, pause: float = 0.0, times: int = 1) -> None:
        """Another process writes so long, so often, and lets go between."""
        trouble = self._troubles.begin(SLOW if pause else LOCKED)
        for _ in range(times):
            await asyncio.to_thread(self._hold_database, seconds)
            await asyncio.sleep(pause)
        self._troubles.end(trouble)

    def _hold_database(self, seconds: float) -> None:
        with closing(sqlite3.connect(self.database, timeout=5, isolation_level=None)) as other:
            with contextlib.suppress(sqlite3.OperationalError):
                other.execute("BEGIN IMMEDIATE")
            sleep(seconds)

    def _clock_file(self, ahead: timedelta) -> None:
        with self._clock.open("r+b") as file:
            file.write(SECONDS.pack(ahead.total_seconds()))

    async def _is_started(self) -> bool:
        self._process = process = self._spawn()
        begun = monotonic()
        async with aiohttp.ClientSession() as client:
            while process.poll() is None:
                if await _is_ready(client, self.url):
                    return True
                if monotonic() - begun > _START_PATIENCE:
                    raise AssertionError("the broker does not become ready")
                await asyncio.sleep(_BETWEEN_LOOKS)
        now = self._troubles.now()
        causes = {one.kind for one in self._troubles.between(now - _REFUSAL, now)} - {"down"}
        if not causes:
            self.died.append(process.returncode)
        return False

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self._command,
                cwd=self.log.parent,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def _end(self, signum: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signum)
        process.send_signal(signal.SIGCONT)
        try:
            await asyncio.to_thread(process.wait, _STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            self.slow_stops += 1
            process.kill()
            await asyncio.to_thread(process.wait)


async def _is_ready(client: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with client.get(f"{url}/ready", timeout=aiohttp.ClientTimeout(5)) as answer:
            return answer.status == _OK
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False
