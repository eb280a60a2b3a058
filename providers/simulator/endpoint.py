"""The HTTP server of a machine in entrypoint mode: as much of vLLM as shows that it serves."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from itertools import pairwise

from aiohttp import web

from providers.simulator.machine import Launch

_MODEL_OPTIONS = ("--model", "--model-id", "--served-model-name")
_MODEL_VARIABLES = ("MODEL_ID", "MODEL", "MODEL_NAME")


async def make_endpoint(launch: Launch, sockets: Iterable[socket.socket]) -> web.AppRunner:
    """Serve HTTP on all of `sockets`."""
    runner = web.AppRunner(_application(launch), access_log=None, handle_signals=False)
    await runner.setup()
    for listening in sockets:
        await web.SockSite(runner, listening).start()
    return runner


def model_name(launch: Launch) -> str:
    """The model that the image was told to serve, else the image itself."""
    words = [word for arg in launch.args for word in arg.split("=", 1)]
    for option, value in pairwise(words):
        if option in _MODEL_OPTIONS:
            return value
    named = (launch.env.get(variable) for variable in _MODEL_VARIABLES)
    return next(filter(None, named), launch.image)


def _application(launch: Launch) -> web.Application:
    name = model_name(launch)

    async def health(request: web.Request) -> web.Response:  # noqa: ARG001
        return web.Response()

    async def models(request: web.Request) -> web.Response:  # noqa: ARG001
        model = {"id": name, "object": "model", "created": 0, "owned_by": "simulator"}
        return web.json_response({"object": "list", "data": [model]})

    application = web.Application()
    application.add_routes([web.get("/health", health), web.get("/v1/models", models)])
    return application
