"""Schemathesis against a broker that serves: made-up requests, answers held to the document."""

from __future__ import annotations

import asyncio
import sys
import sysconfig
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

_PROGRAM = Path(sysconfig.get_path("scripts")) / "schemathesis"
_CONFIGURATION = Path(__file__).with_name("schemathesis.toml")


async def fuzz(url: str, folder: Path, *options: str) -> None:
    """Fail where the broker at `url` crashes, or answers anything but what it says it does."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(_PROGRAM),
        f"--config-file={_CONFIGURATION}",
        "--no-color",
        "run",
        *options,
        f"{url}/openapi.json",
        cwd=folder,
        stdout=PIPE,
        stderr=STDOUT,
    )
    try:
        told, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, told.decode(errors="replace")
