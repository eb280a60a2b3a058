"""The installed command and a broker of the tests' own, each in a folder and environment apart."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from tests.waiting import PATIENCE, wait_until

PROGRAM = Path(sys.executable).with_name("gpu-broker")
QUICK = {
    "SIMULATOR_BOOT_TIME": "200ms",
    "SIMULATOR_DRIFT": "0s",
    "LIFECYCLE_CHECK_INTERVAL": "200ms",
    "RECONCILIATION_INTERVAL": "500ms",
    "SSH_CHECK_INTERVAL": "100ms",
}


@dataclass(frozen=True, slots=True)
class CommandLine:
    """Runs `gpu-broker` in a folder, seeing nothing of the environment of the tests."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def database(self) -> str:
        return str(self.folder / "data" / "gpu-broker.db")

    def variables(self) -> dict[str, str]:
        """What the command sees."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
            **QUICK,
            **self.environment,
        }

    def start(self, *arguments: str, log: Path | None = None) -> subprocess.Popen[str]:
        """The command, running; its output goes to `log`, or to pipes."""
        with (log or Path(os.devnull)).open("w") as file:
            return subprocess.Popen(  # noqa: S603 - the installed command
                [PROGRAM, *arguments],
                cwd=self.folder,
                env=self.variables(),
                stdin=subprocess.DEVNULL,
                stdout=file if log else subprocess.PIPE,
                stderr=subprocess.STDOUT if log else subprocess.PIPE,
                text=True,
            )

    def run(self, *arguments: str, timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        """The command, run to its end, whatever that is."""
        process = self.start(*arguments)
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)

    def succeed(self, *arguments: str) -> str:
        """What the command prints; it must exit with 0."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ask(self, *arguments: str) -> Any:
        """What the command prints with `-o json`, decoded."""
        return json.loads(self.succeed(*arguments, "-o", "json"))


@contextmanager
def serving(command_line: CommandLine, *, simulate: bool = True) -> Iterator[subprocess.Popen[str]]:
    """`gpu-broker serve` in the folder, ready; ended at the end."""
    arguments = ("--simulate",) if simulate else ()
    process, url = start_broker(command_line, *arguments, "--database", command_line.database)
    command_line.environment["GPU_BROKER_URL"] = url
    try:
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE)


def start_broker(command_line: CommandLine, *arguments: str) -> tuple[subprocess.Popen[str], str]:
    """`gpu-broker serve` with these arguments at a port of its own choice, ready; and its URL."""
    log = command_line.folder / "serve.log"
    process = command_line.start("serve", "--port", "0", *arguments, log=log)
    try:
        wait_until(lambda: is_ready(url_in(log)) or process.poll() is not None)
        assert process.poll() is None, log.read_text()
    except BaseException:
        process.kill()
        process.wait()
        raise
    return process, url_in(log)


def url_in(log: Path) -> str:
    """Where the broker that writes this log listens; empty while it does not."""
    told = re.search(r"Listening on (http://[\d.:]+)", log.read_text())
    return told[1] if told else ""


def is_ready(url: str) -> bool:
    """Whether there is a broker, and it takes sessions."""
    if not url:
        return False
    try:
        with urlopen(f"{url}/ready", timeout=PATIENCE) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except OSError:
        return False
