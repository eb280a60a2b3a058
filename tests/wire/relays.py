"""Ports beside the machines' own: the SSH proxy, and ports at which nobody speaks."""

from __future__ import annotations

import asyncio
import random
import socket
from contextlib import suppress

from providers.simulator.machine import HOST

_PORTS = range(20_000, 32_768)
_CHUNK = 65_536


def free_port() -> int:
    """A port that nobody uses now, below those that systems give away by themselves."""
    for port in random.sample(_PORTS, 100):
        with suppress(OSError), socket.socket() as probe:
            probe.bind((HOST, port))
            return port
    raise OSError("there is no free port")


class Relay:
    """Passes connections on to another port of this computer, or keeps them in silence."""

    def __init__(self, target: int | None, instead_of: str) -> None:
        self.instead_of = instead_of
        """The misfortune that there would be without it, or that it is."""
        self.port = 0
        self._target = target
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @classmethod
    async def open(
        cls, target: int | None, instead_of: str = "", *, host: str = HOST, port: int | None = None
    ) -> Relay:
        """Listen on this port, or one of its own; no target: accept, and say nothing.

        Raises `OSError` where the port cannot be had.
        """
        relay = cls(target, instead_of)
        relay._server = await asyncio.start_server(relay._serve, host, port or free_port())
        relay.port = relay._server.sockets[0].getsockname()[1]
        return relay

    def close(self) -> None:
        """Hang up on everybody."""
        if self._server:
            self._server.close()
        for writer in tuple(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            if self._target is None:
                await reader.read()
                return
            with suppress(OSError):
                far_reader, far_writer = await asyncio.open_connection(HOST, self._target)
                self._open.add(far_writer)
                try:
                    await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
                finally:
                    self._open.discard(far_writer)
                    far_writer.transport.abort()
        finally:
            self._open.discard(writer)
            writer.transport.abort()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Pass on what comes until one side is done; then both are."""
    with suppress(OSError):
        while data := await source.read(_CHUNK):
            sink.write(data)
            await sink.drain()
    sink.close()
