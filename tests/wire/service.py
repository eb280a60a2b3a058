"""What every simulated service has: an address, the calls that came, and what is to go wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from aiohttp import web

from tests.wire.gate import Call, Gate

_LARGEST_BODY = 4 * 1024**2


class Service:
    """Routes behind a gate. A service of its own says which."""

    def __init__(self, gate: Gate) -> None:
        self.url = ""
        """The base of the API, without a slash at its end."""
        self.misfortunes = gate.misfortunes
        """What is planned to go wrong; tests add to it."""
        self._gate = gate

    @property
    def calls(self) -> list[Call]:
        """Every request, in order."""
        return self._gate.calls

    @property
    def closing(self) -> asyncio.Event:
        """Lets go of whoever is kept waiting."""
        return self._gate.closing

    def routes(self) -> Iterable[web.RouteDef]:
        """What can be called."""
        raise NotImplementedError

    def application(self) -> web.Application:
        """The routes behind the gate."""
        application = web.Application(
            middlewares=[self._gate.middleware()], client_max_size=_LARGEST_BODY
        )
        application.add_routes(self.routes())
        return application
