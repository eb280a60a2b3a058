"""Serve the simulated TensorDock for people: `python -m tests.tensordock_wire --port 8090`."""

from __future__ import annotations

import argparse
import asyncio
import signal
import tempfile
from datetime import timedelta
from pathlib import Path

from broker.clock import utcnow
from tests.tensordock_wire import API_TOKEN, Timeline, open_tensordock_wire


async def serve(arguments: argparse.Namespace, data_dir: Path) -> None:
    """Serve until somebody interrupts, or ends it."""
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    seconds = timedelta(seconds=arguments.boot_seconds)
    async with open_tensordock_wire(
        data_dir,
        now=utcnow,
        api_token=arguments.api_token,
        timeline=Timeline(address=seconds / 2, ssh=seconds, deletion=seconds / 2),
        limits=arguments.limits,
        port=arguments.port,
    ) as wire:
        print(f"{wire.url} api token {wire.api_token} auth id {wire.auth_id}", flush=True)  # noqa: T201 (for people)
        await ended.wait()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m tests.tensordock_wire", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--api-token", default=API_TOKEN)
    parser.add_argument("--boot-seconds", type=float, default=3.0)
    parser.add_argument("--limits", type=float, default=0.0, help="1: as documented; 0: none")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        asyncio.run(serve(parser.parse_args(), Path(folder)))


if __name__ == "__main__":
    main()
