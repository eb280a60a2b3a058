"""A broker for the demo alone: a child process with a folder, a port and an account of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from socket import create_server
from types import FrameType

from broker.cli.client import Client
from broker.cli.exits import BrokerUnreachable, CommandFailed

Handler = Callable[[int, FrameType | None], object] | signal.Handlers

_START_SECONDS = 60.0
_STOP_SECONDS = 15.0
_LOOK_EVERY_SECONDS = 0.1
_READY = 200
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "LD_LIBRARY_PATH")


class OwnBroker:
    """`gpu-broker serve --simulate` with its files in `folder`.

    It sees neither the environment nor a .env file of its caller: an account that is
    configured there must not be touched by a demonstration. So `started_in` is an empty folder.
    """

    def __init__(self, folder: Path, *, started_in: Path) -> None:
        self._folder = folder
        self._started_in = started_in
        self._log = folder / "broker.log"
        self._port = _free_port()
        self.client = Client(f"http://127.0.0.1:{self._port}")

    @contextmanager
    def running(self) -> Iterator[Client]:
        """A broker that is ready, and that has ended in order when the block has.

        Raises CommandFailed where either is not so.
        """
        with self._log.open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - this very program
                [*self._command("serve"), "--port", str(self._port)],
                cwd=self._started_in,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the demo, which stops it in order
            )
        try:
            self._wait_until_ready(process)
            yield self.client
        finally:
            code = _stop(process)
        if code != 0:
            raise CommandFailed(f"The broker ended with exit code {code}.")

    def machines_in_account(self) -> str:
        """What `cleanup-orphans` sees in the account without a broker: JSON."""
        command = [*self._command("cleanup-orphans"), "-o", "json"]
        done = subprocess.run(  # noqa: S603 - this very program
            command, cwd=self._started_in, env=self._environment(), capture_output=True, check=False
        )
        if done.returncode:
            raise CommandFailed(f"cleanup-orphans: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout.decode()

    def last_words(self, lines: int = 10) -> list[str]:
        """The end of its log."""
        if not self._log.exists():
            return []
        return self._log.read_text(errors="replace").splitlines()[-lines:]

    def _command(self, name: str) -> list[str]:
        database = str(self._folder / "gpu-broker.db")
        return [sys.executable, "-m", "broker", name, "--simulate", "--database", database]

    def _environment(self) -> Mapping[str, str]:
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        return {**inherited, "SIMULATOR_DRIFT": "0s", "PYTHONUNBUFFERED": "1"}

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self._is_ready():
            if process.poll() is not None:
                raise CommandFailed("The broker ended before it was ready.")
            if time.monotonic() > deadline:
                raise CommandFailed(f"The broker was not ready within {_START_SECONDS:.0f} s.")
            time.sleep(_LOOK_EVERY_SECONDS)

    def _is_ready(self) -> bool:
        try:
            return self.client.get_whatever_status("/ready").status == _READY
        except BrokerUnreachable:
            return False


def _stop(process: subprocess.Popen[bytes]) -> int:
    """End it with SIGTERM, and with SIGKILL where that takes too long; its exit code.

    A second Ctrl-C must not leave it running.
    """
    with signals_go_to(signal.SIG_IGN):
        process.terminate()
        try:
            return process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


@contextmanager
def signals_go_to(handler: Handler) -> Iterator[None]:
    """All that ends a program from outside (Ctrl-C, SIGTERM, a closed terminal) has one effect."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, handler) for number in numbers]
    try:
        yield
    finally:
        for number, earlier in zip(numbers, before, strict=True):
            signal.signal(number, earlier)


def _free_port() -> int:
    with create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
