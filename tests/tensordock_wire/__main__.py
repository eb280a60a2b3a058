"""Serve the simulated TensorDock for people: `python -m tests.tensordock_wire --port 8090`."""

from __future__ import annotations

from argparse import Namespace
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path

from broker.clock import utcnow
from tests.tensordock_wire import API_TOKEN, TensordockWire, Timeline, open_tensordock_wire
from tests.wire.program import command_line, serve


def opened(arguments: Namespace, data_dir: Path) -> AbstractAsyncContextManager[TensordockWire]:
    """The service that is asked for."""
    seconds = timedelta(seconds=arguments.boot_seconds)
    return open_tensordock_wire(
        data_dir,
        now=utcnow,
        api_token=arguments.api_token,
        timeline=Timeline(address=seconds / 2, ssh=seconds, deletion=seconds / 2),
        limits=arguments.limits,
        port=arguments.port,
    )


if __name__ == "__main__":
    parser = command_line("tests.tensordock_wire", __doc__)
    parser.add_argument("--api-token", default=API_TOKEN)
    serve(
        parser, opened, lambda wire: f"{wire.url} api token {wire.api_token} auth id {wire.auth_id}"
    )
