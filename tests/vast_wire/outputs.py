"""What machines say: their logs, and commands that the service runs on them."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field

from aiohttp import web

from providers.simulator.server import ON_START_LOG
from tests.vast_wire.answers import read_body
from tests.vast_wire.fleet import Fleet
from tests.vast_wire.refusals import invalid, no_such_instance
from tests.wire.answers import reply

_LONGEST_COMMAND = 512
_RESULT = "/results/{name}"


@dataclass
class Outputs:
    """Results to be fetched without a key, by names that nobody can guess."""

    fleet: Fleet
    kept: dict[str, str] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)

    def routes(self) -> list[web.RouteDef]:
        """Requests for output."""
        return [
            web.put(r"/api/v0/instances/request_logs/{id:\d+}/", self._logs),
            web.put(r"/api/v0/instances/command/{id:\d+}/", self._command),
        ]

    def open_routes(self) -> list[web.RouteDef]:
        """The results."""
        return [web.get(_RESULT, self._result)]

    async def _logs(self, request: web.Request) -> web.Response:
        contract = self.fleet.find(request.match_info["id"])
        body = await read_body(request)
        home = self.fleet.machines.home(contract)
        log = home / ON_START_LOG if home else None
        text = log.read_text("utf-8", "replace") if log and log.exists() else ""
        if body.get("daemon_logs"):
            text = f"{contract.phase(self.fleet.now()).message or ''}\n"
        lines = [line for line in text.splitlines() if str(body.get("filter") or "") in line]
        tail = int(body.get("tail") or 1000)
        return self._promise(request, "\n".join(lines[-tail:]) + "\n")

    async def _command(self, request: web.Request) -> web.Response:
        contract = self.fleet.find(request.match_info["id"])
        command = (await read_body(request)).get("command")
        if not isinstance(command, str) or len(command) > _LONGEST_COMMAND:
            raise invalid("Invalid args: command")
        home = self.fleet.machines.home(contract)
        if home is None:
            raise no_such_instance(contract.id)
        child = await asyncio.create_subprocess_shell(
            command,
            cwd=home,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await child.communicate()
        return self._promise(request, output.decode("utf-8", "replace"))

    def _promise(self, request: web.Request, text: str) -> web.Response:
        name = secrets.token_hex(16)
        self.kept[name] = text
        url = f"{request.scheme}://{request.host}{_RESULT.format(name=name)}"
        return reply({"success": True, "result_url": url, "writeable_path": "/root"})

    async def _result(self, request: web.Request) -> web.Response:
        """At the first look nothing has been written yet."""
        name = request.match_info["name"]
        if name not in self.kept or name not in self.asked:
            self.asked.add(name)
            return web.Response(status=404, text="not there yet")
        return web.Response(text=self.kept[name])
