"""Keeps the process that runs the machines: starts it when it is needed, tells it the time.

The process is a child of whoever opened the simulated market. It lives as long as the
pipe to its standard input is open, so that it ends with its parent, however that ends.
What the parent writes into the pipe is the present instant, once per line: the child
has no clock of its own, and every line makes it look at the account again.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import providers

_log = logging.getLogger(__name__)

LOG_NAME = "simulator-machines.log"

_PATIENCE_SECONDS = 2.0


class Keeper:
    """The child process of one data directory. Every call is quick, none is for the event loop."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the child, while there is one."""
        return self._child.pid if self._child and self._child.poll() is None else None

    def tell(self, now: datetime) -> None:
        """Make the child look at the account, and start one if there is none.

        Without a child the machines are rented all the same; the next call tries again.
        """
        if self.pid is None:
            try:
                self._start()
            except OSError:
                _log.exception("the process of the simulated machines cannot be started")
        self._write(now)

    def close(self) -> None:
        """End the child and wait for its end."""
        if self._child is None:
            return
        if self._child.stdin:
            self._child.stdin.close()
        try:
            self._child.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._child = None

    def _start(self) -> None:
        self.close()
        path = self._data_dir / LOG_NAME
        path.touch(mode=0o600)
        with path.open("ab") as log:
            self._child = subprocess.Popen(  # noqa: S603
                # -P: what lies in the working directory is not to be imported.
                [sys.executable, "-P", "-m", "providers.simulator.machines", str(self._data_dir)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=_environment(),
                # Ctrl-C is for the parent, which then ends the child in its own time.
                start_new_session=True,
            )
        if self._child.stdin:
            os.set_blocking(self._child.stdin.fileno(), False)

    def _write(self, now: datetime) -> None:
        if self._child is None or self._child.stdin is None:
            return
        try:
            os.write(self._child.stdin.fileno(), f"{now.isoformat()}\n".encode())
        except (BlockingIOError, BrokenPipeError):
            # A child that is behind has enough lines to read; a dead one is replaced next time.
            return


def _environment() -> dict[str, str]:
    """Nothing of the parent's environment: its secrets are no business of the machines."""
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(Path(providers.__file__).parent.parent),
        "PYTHONUNBUFFERED": "1",
    }
