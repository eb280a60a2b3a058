"""Serve the simulated Vast.ai for people: `python -m tests.vast_wire --port 8090 --api-key K`."""

from __future__ import annotations

import argparse
import asyncio
import signal
import tempfile
from datetime import timedelta
from pathlib import Path

from broker.clock import utcnow
from tests.vast_wire import API_KEY, BootTimeline, open_vast_wire


async def serve(arguments: argparse.Namespace, data_dir: Path) -> None:
    """Serve until somebody interrupts, or ends it."""
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    boot = BootTimeline(
        timedelta(seconds=0.5), timedelta(seconds=1), timedelta(seconds=arguments.boot_seconds)
    )
    async with open_vast_wire(
        data_dir,
        now=utcnow,
        offers=arguments.offers,
        api_key=arguments.api_key,
        boot=boot,
        limits=arguments.limits,
        port=arguments.port,
    ) as wire:
        print(f"{wire.url} api key {wire.api_key}", flush=True)  # noqa: T201 (for people)
        await ended.wait()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m tests.vast_wire", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--api-key", default=API_KEY)
    parser.add_argument("--offers", type=int, default=60)
    parser.add_argument("--boot-seconds", type=float, default=3.0)
    parser.add_argument("--limits", type=float, default=0.0, help="1: as documented; 0: none")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        asyncio.run(serve(parser.parse_args(), Path(folder)))


if __name__ == "__main__":
    main()
