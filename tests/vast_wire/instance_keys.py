"""The SSH keys of one instance: attached and detached by the API, effective a little later."""

from __future__ import annotations

import json

from aiohttp import web

from tests.vast_wire.answers import read_body
from tests.vast_wire.fleet import Fleet
from tests.vast_wire.refusals import invalid
from tests.wire.answers import reply


def routes(fleet: Fleet) -> list[web.RouteDef]:
    """`/api/v0/instances/{id}/ssh/`."""

    async def attach(request: web.Request) -> web.Response:
        contract = fleet.find(request.match_info["id"])
        key = (await read_body(request)).get("ssh_key")
        if not isinstance(key, str) or not key.strip():
            raise invalid("No ssh key provided", "no_ssh_key")
        attached = fleet.attach(contract, key.strip())
        fleet.settle()
        return reply({"success": True, "msg": "SSH key attached successfully", "id": attached.id})

    async def show(request: web.Request) -> web.Response:
        contract = fleet.find(request.match_info["id"])
        keys = [{"id": one.id, "public_key": one.key} for one in contract.keys]
        # The one list that is told as text.
        return reply({"success": True, "ssh_keys": json.dumps(keys)})

    async def detach(request: web.Request) -> web.Response:
        contract = fleet.find(request.match_info["id"])
        left = [one for one in contract.keys if str(one.id) != request.match_info["key"]]
        if len(left) == len(contract.keys):
            raise invalid("No ssh key provided", "no_ssh_key")
        contract.keys = left
        fleet.settle()
        return reply({"success": True, "msg": "SSH key removed from instance."})

    path = r"/api/v0/instances/{id:\d+}/ssh/"
    return [
        web.post(path, attach),
        web.get(path, show),
        web.delete(path + "{key}/", detach),
    ]
