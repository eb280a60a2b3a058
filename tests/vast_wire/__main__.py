"""Serve the simulated Vast.ai for people: `python -m tests.vast_wire --port 8090 --api-key K`."""

from __future__ import annotations

from argparse import Namespace
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path

from broker.clock import utcnow
from tests.vast_wire import API_KEY, BootTimeline, VastWire, open_vast_wire
from tests.wire.program import command_line, serve


def opened(arguments: Namespace, data_dir: Path) -> AbstractAsyncContextManager[VastWire]:
    """The service that is asked for."""
    boot = BootTimeline(
        timedelta(seconds=0.5), timedelta(seconds=1), timedelta(seconds=arguments.boot_seconds)
    )
    return open_vast_wire(
        data_dir,
        now=utcnow,
        offers=arguments.offers,
        api_key=arguments.api_key,
        boot=boot,
        limits=arguments.limits,
        port=arguments.port,
    )


if __name__ == "__main__":
    parser = command_line("tests.vast_wire", __doc__)
    parser.add_argument("--api-key", default=API_KEY)
    parser.add_argument("--offers", type=int, default=60)
    serve(parser, opened, lambda wire: f"{wire.url} api key {wire.api_key}")
