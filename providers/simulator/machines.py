"""The process that runs the machines of one account: `python -m providers.simulator.machines DIR`.

It follows the account in `DIR` and ends when its standard input is closed. Every line on
it is the present instant: a reason to look at the account again, and the only clock here.
Only one such process works on an account; a second one waits until it may.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import resource
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO

from providers.simulator.account import Account
from providers.simulator.home import FOLDER
from providers.simulator.machine import Machine
from providers.simulator.server import MachineServer
from providers.simulator.shell import kill_processes

_log = logging.getLogger(__name__)

LOCK_NAME = "simulator-machines.lock"

_LOOK_SECONDS = 1.0
"""How often the account is looked at when nobody says that it has changed."""
_LOCK_SECONDS = 0.2
_FILES = 65_536


class Parent:
    """What the parent process says on standard input."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._told: tuple[datetime, float] | None = None
        self._rest = b""
        self._news = asyncio.Event()
        self.gone = False
        self._loop.add_reader(sys.stdin.fileno(), self._read)

    def now(self) -> datetime:
        """The present instant, by the parent's clock."""
        if self._told is None:
            raise RuntimeError("nobody has told the time yet")
        instant, at = self._told
        return instant + timedelta(seconds=self._loop.time() - at)

    async def news(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Wait until the parent says something or is gone, at most `timeout` seconds."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), timeout)
        self._news.clear()

    def _read(self) -> None:
        data = os.read(sys.stdin.fileno(), 65_536)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if lines:
            told = datetime.fromisoformat(lines[-1].decode())
            # What waited in the pipe is late: time would go back, and machines with it.
            now = max(told, self.now()) if self._told else told
            self._told = now, self._loop.time()
        if not data:
            self.gone = True
            self._loop.remove_reader(sys.stdin.fileno())
        self._news.set()


class Machines:
    """The machines of one account, as they run."""

    def __init__(self, account: Account, data_dir: Path, now: Callable[[], datetime]) -> None:
        self._account = account
        self._data_dir = data_dir
        self._now = now
        self._servers: dict[int, MachineServer] = {}
        self._known: list[Machine] = []
        self._version: int | None = None

    async def follow(self) -> float:
        """Do what the account says; returns after how many seconds there is more to do."""
        self._read()
        now = self._now()
        listed = {machine.id: machine for machine in self._known if machine.is_listed(now)}
        await self._remove(
            [server for number, server in self._servers.items() if number not in listed]
        )
        for machine in listed.values():
            try:
                await self._run(machine, now)
            except OSError as error:
                # A full disk, a port in use: the others run, and the next look tries again.
                _log.warning("machine %s does not run: %s", machine.id, error)
        changes = (machine.next_change(now) for machine in self._known)
        waits = ((at - now).total_seconds() for at in changes if at)
        return min(waits, default=_LOOK_SECONDS)

    async def close(self) -> None:
        """Stop everything; what is rented starts again with the next process."""
        for server in self._servers.values():
            await server.close()
        kill_processes(server.home.root for server in self._servers.values())

    def clear_disks(self) -> None:
        """Delete the disks of machines that were destroyed while nobody ran them."""
        self._read()
        live = {str(machine.id) for machine in self._known}
        for folder in (self._data_dir / FOLDER).glob("[0-9]*"):
            if folder.name not in live:
                shutil.rmtree(folder, ignore_errors=True)

    def _read(self) -> None:
        """Read the account again if anybody has written."""
        version = self._account.version()
        if version != self._version:
            self._known = list(self._account.live(self._now()))
            self._version = version

    async def _run(self, machine: Machine, now: datetime) -> None:
        server = self._servers.get(machine.id)
        if server is None:
            server = MachineServer(machine, self._data_dir, self._now)
            server.home.ensure()
            ssh_port, published = server.take_ports()
            self._account.record_ports(machine.id, ssh_port, published)
            self._servers[machine.id] = server
        server.machine = machine
        if await server.settle(now):
            kill_processes([server.home.root])
            # It holds nothing any more; the next look takes its ports again, and may start it.
            del self._servers[machine.id]

    async def _remove(self, servers: Sequence[MachineServer]) -> None:
        """Take machines away that are gone, with everything that ran on them."""
        for server in servers:
            del self._servers[server.machine.id]
            await server.close()
        kill_processes([server.home.root for server in servers])
        for server in servers:
            await asyncio.to_thread(server.home.remove)


async def serve(data_dir: Path) -> None:
    """Run the machines of the account in `data_dir` until the parent is gone."""
    parent = Parent()
    await parent.news()
    path = data_dir / LOCK_NAME
    path.touch(mode=0o600)
    with path.open("w") as lock:
        while not parent.gone and not _is_locked(lock):
            await parent.news(_LOCK_SECONDS)
        if parent.gone:
            return
        account = Account(data_dir)
        machines = Machines(account, data_dir, parent.now)
        machines.clear_disks()
        try:
            while not parent.gone:
                wait = await machines.follow()
                await parent.news(min(wait, _LOOK_SECONDS))
        finally:
            await machines.close()
            account.close()


def _is_locked(lock: IO[str]) -> bool:
    """Whether this process alone works on the account from now on."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _allow_many_files() -> None:
    """Every machine needs some open files, more than systems give by default."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


if __name__ == "__main__":
    _allow_many_files()
    with asyncio.Runner() as runner:
        runner.run(serve(Path(sys.argv[1])))
        # A command whose beginning was cut may wait for ever: nobody is left to wait with it.
        os._exit(0)
