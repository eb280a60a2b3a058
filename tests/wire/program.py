"""A simulated service as a program for people: it serves until somebody ends it."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def command_line(name: str, description: str | None) -> ArgumentParser:
    """The options that every such program has; it is called `python -m NAME`."""
    parser = ArgumentParser(prog=f"python -m {name}", description=description)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--boot-seconds", type=float, default=3.0)
    parser.add_argument("--limits", type=float, default=0.0, help="1: as documented; 0: none")
    return parser


def serve(
    parser: ArgumentParser,
    opened: Callable[[Namespace, Path], AbstractAsyncContextManager[T]],
    present: Callable[[T], str],
) -> None:
    """Serve what `opened` gives, say where that is, and take all of it away in the end."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        asyncio.run(_serve(opened(parser.parse_args(), Path(folder)), present))


async def _serve(service: AbstractAsyncContextManager[T], present: Callable[[T], str]) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with service as wire:
        print(present(wire), flush=True)  # noqa: T201 (for people)
        await ended.wait()
