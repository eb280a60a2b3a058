"""The vendor's own command line and SDK, unmodified, in an environment of their own."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

VERSION = "1.9.1"
CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
DRIVER = Path(__file__).with_name("vendor_driver.py")

_PATIENCE = 120.0
"""Seconds for one command of the vendor's: the first of an account asks three times."""
_HIDDEN = ("VAST", "XDG_", "PYTHON", "COV_", "HTTP_PROXY", "http_proxy")
"""Variables that would change what the tools do."""


@dataclass(frozen=True)
class Vendor:
    """Where the tools are installed."""

    folder: Path

    @property
    def python(self) -> str:
        """The interpreter that has the SDK."""
        return str(self.folder / "bin" / "python")

    @property
    def command(self) -> str:
        """The command line."""
        return str(self.folder / "bin" / "vastai")


def install_vendor(folder: Path) -> Vendor:
    """Install the tools into a new environment. Skips the test where pip reaches no index."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)  # noqa: S603 (ours)
    vendor = Vendor(folder)
    wanted = f"vastai=={VERSION}"
    done = _pip(vendor, "install", "--constraint", str(CONSTRAINTS), wanted)
    if done.returncode:
        asked = _pip(vendor, "download", "--no-deps", "--dest", str(folder), wanted)
        if "from versions: none" in asked.stderr:
            pytest.skip(f"pip finds no package index that has {wanted}")
    assert done.returncode == 0, done.stderr
    return vendor


def _pip(vendor: Vendor, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What pip says, with whatever index it is configured for."""
    command = [vendor.python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (ours)


@dataclass(frozen=True)
class Printed:
    """What a command wrote. Its exit code says nothing: errors end with 0 too."""

    out: str
    err: str

    @property
    def json(self) -> Any:
        """The standard output, which must be JSON."""
        try:
            return json.loads(self.out)
        except ValueError as error:
            raise AssertionError(f"no JSON: {self.out}\n{self.err}") from error

    @property
    def refusal(self) -> dict[str, Any]:
        """What `--raw` says of an error, on the other stream."""
        refusal: dict[str, Any] = json.loads(self.err.splitlines()[-1])
        assert refusal.pop("error") is True
        return refusal

    @property
    def words(self) -> str:
        """The standard output without frames, colours and line breaks."""
        return " ".join(self.out.split())


async def together(*commands: Coroutine[Any, Any, Any]) -> list[Any]:
    """What several commands print, run at the same time; none is left behind."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(command) for command in commands]
    return [task.result() for task in tasks]


@dataclass(frozen=True)
class Client:
    """The tools as one user has them: a home, a service, a key."""

    vendor: Vendor
    environment: Mapping[str, str]

    async def run(self, *arguments: object, typed: str = "") -> Printed:
        """What a command prints. It must not crash, however badly things go."""
        return await self._run(self.vendor.command, *arguments, typed=typed)

    async def run_script(self, script: Path, *arguments: object) -> Any:
        """What a script of ours prints there, which is JSON."""
        return (await self._run(self.vendor.python, script, *arguments)).json

    async def _run(self, *command: object, typed: str = "") -> Printed:
        process = await asyncio.create_subprocess_exec(
            *(str(word) for word in command),
            env=dict(self.environment),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(_PATIENCE):
                out, err = await process.communicate(typed.encode())
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()
        printed = Printed(out.decode(), err.decode())
        assert "Traceback" not in printed.err, printed.err
        return printed

    async def json(self, *arguments: object) -> Any:
        """What a command prints with `--raw`."""
        return (await self.run(*arguments, "--raw")).json

    @asynccontextmanager
    async def sdk(self) -> AsyncIterator[Sdk]:
        """The SDK, driven in a process of its own."""
        process = await asyncio.create_subprocess_exec(
            self.vendor.python,
            str(DRIVER),
            env=dict(self.environment),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=2**26,
        )
        try:
            yield Sdk(process)
        finally:
            process.kill()
            await process.wait()


@dataclass(frozen=True)
class Sdk:
    """One object of the class `VastAI`, somewhere else."""

    process: asyncio.subprocess.Process

    async def __call__(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """What a method returns."""
        outcome = await self.outcome(method, *args, **kwargs)
        assert "result" in outcome, outcome
        return outcome["result"]

    async def outcome(self, method: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """What a method returns or raises."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps([method, args, kwargs]).encode() + b"\n")
        async with asyncio.timeout(_PATIENCE):
            line = await self.process.stdout.readline()
        outcome: dict[str, Any] = json.loads(line)
        return outcome


def client_of(vendor: Vendor, home: Path, url: str, api_key: str) -> Client:
    """A user who has never used the tools before: they keep names, roles and addresses."""
    # Several first commands at once would quarrel about who makes these.
    for kind in ("config", "cache", "state"):
        (home / kind / "vastai").mkdir(parents=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_HIDDEN)}
    own = {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_DATA_HOME": str(home / "data"),
        "VAST_URL": url,
        "VAST_API_KEY": api_key,
        "VASTAI_NO_UPDATE_CHECK": "1",
        "COLUMNS": "400",
        "LINES": "10000",
        "PYTHONIOENCODING": "utf-8",
        "PAGER": "cat",
    }
    return Client(vendor, {**kept, **own})
