"""The HTTP server of a machine in entrypoint mode: as much of vLLM as shows that it serves."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import suppress
from http import HTTPStatus
from itertools import pairwise

from providers.simulator.machine import Launch

_MODEL_OPTIONS = ("--model", "--model-id", "--served-model-name")
_MODEL_VARIABLES = ("MODEL_ID", "MODEL", "MODEL_NAME")
_PATIENCE_SECONDS = 10.0
_READABLE = (ValueError, OSError, asyncio.IncompleteReadError, TimeoutError)


async def start_endpoint(launch: Launch, listening: socket.socket) -> asyncio.Server:
    """Answer HTTP on `listening`, one request a connection."""
    model = model_name(launch)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(*_READABLE):
            async with asyncio.timeout(_PATIENCE_SECONDS):
                method, path, *_ = (await reader.readline()).decode("latin-1").split()
                while (await reader.readline()).strip():
                    pass
                writer.write(_response(method, path.partition("?")[0], model))
                await writer.drain()
        writer.close()

    return await asyncio.start_server(serve, sock=listening)


def model_name(launch: Launch) -> str:
    """The model that the image was told to serve, else the image itself."""
    words = [word for arg in launch.args for word in arg.split("=", 1)]
    for option, value in pairwise(words):
        if option in _MODEL_OPTIONS:
            return value
    named = (launch.env.get(variable) for variable in _MODEL_VARIABLES)
    return next(filter(None, named), launch.image)


def _response(method: str, path: str, model: str) -> bytes:
    """A whole HTTP response."""
    status, body = _answer(path, model)
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + (b"" if method == "HEAD" else body)


def _answer(path: str, model: str) -> tuple[HTTPStatus, bytes]:
    if path == "/health":
        return HTTPStatus.OK, b""
    if path == "/v1/models":
        served = {"id": model, "object": "model", "created": 0, "owned_by": "simulator"}
        return HTTPStatus.OK, json.dumps({"object": "list", "data": [served]}).encode()
    return HTTPStatus.NOT_FOUND, b'{"detail": "Not Found"}'
