"""The calls of the service."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import timedelta

from aiohttp import web

from tests.tensordock_wire import refusals
from tests.tensordock_wire.fleet import Fleet
from tests.tensordock_wire.lives import STOPPED, VirtualMachine
from tests.tensordock_wire.misfortunes import Operation, Word
from tests.tensordock_wire.orders import add_bad_image, read_order
from tests.tensordock_wire.refusals import Invalid, Refused, error
from tests.wire.answers import Body, page, reply
from tests.wire.gate import own_misfortune
from tests.wire.misfortunes import Misfortune

V2 = "/api/v2"
V0 = "/api/v0"
BALANCE = f"{V0}/billing/balance"
_INSTANCE = f"{V2}/instances/{{id}}"
_SECRET = f"{V2}/secrets/{{id}}"
_OF: Mapping[tuple[str, str], Operation] = {
    ("GET", f"{V2}/locations"): Operation.LOCATIONS,
    ("GET", f"{V2}/hostnodes"): Operation.HOSTNODES,
    ("GET", f"{V2}/hostnodes/{{id}}"): Operation.HOSTNODES,
    ("POST", f"{V2}/instances"): Operation.CREATE,
    ("GET", f"{V2}/instances"): Operation.LIST,
    ("GET", _INSTANCE): Operation.SHOW,
    ("DELETE", _INSTANCE): Operation.DESTROY,
    ("POST", f"{_INSTANCE}/start"): Operation.START,
    ("POST", f"{_INSTANCE}/stop"): Operation.STOP,
    ("PUT", f"{_INSTANCE}/modify"): Operation.MODIFY,
    ("GET", f"{V2}/secrets"): Operation.SECRETS,
    ("POST", f"{V2}/secrets"): Operation.SECRETS,
    ("GET", _SECRET): Operation.SECRETS,
    ("DELETE", _SECRET): Operation.SECRETS,
    ("POST", BALANCE): Operation.BALANCE,
}
_TEXTS: Mapping[str, str] = {
    Word.NO_NODES: refusals.NO_NODES,
    Word.NO_PUBLIC_IP: refusals.NO_PUBLIC_IP,
    Word.HOST_UNAVAILABLE: refusals.HOST_UNAVAILABLE,
    Word.DEPLOY_ERROR: refusals.DEPLOY_ERROR,
    Word.NO_BALANCE: refusals.NO_BALANCE,
}


def operation_of(request: web.Request) -> Operation:
    """The kind of a request, whether or not it can be served."""
    resource = request.match_info.route.resource
    path = resource.canonical if resource is not None else ""
    return _OF.get((request.method, path), Operation.OTHER)


class Routes:
    """Everything that is served, by one fleet."""

    def __init__(self, fleet: Fleet, *, api_token: str, auth_id: str) -> None:
        self._fleet = fleet
        self._api_token = api_token
        self._auth_id = auth_id

    def table(self) -> list[web.RouteDef]:
        """For the application; whatever else is asked for is answered with a page."""
        return [
            web.get(f"{V2}/locations", self._locations),
            web.get(f"{V2}/hostnodes", self._hostnodes),
            web.get(f"{V2}/hostnodes/{{id}}", self._hostnode),
            web.post(f"{V2}/instances", self._create),
            web.get(f"{V2}/instances", self._list),
            web.get(_INSTANCE, self._show),
            web.delete(_INSTANCE, self._delete),
            web.post(f"{_INSTANCE}/start", self._switch),
            web.post(f"{_INSTANCE}/stop", self._switch),
            web.put(f"{_INSTANCE}/modify", self._modify),
            web.get(f"{V2}/secrets", self._secrets),
            web.post(f"{V2}/secrets", self._new_secret),
            web.get(_SECRET, self._secret),
            web.delete(_SECRET, self._drop_secret),
            web.patch(_SECRET, self._no_patch),
            web.post(BALANCE, self._balance),
            web.route("*", "/{path:.*}", self._nothing),
        ]

    async def _locations(self, _: web.Request) -> web.Response:
        fleet = self._fleet
        told = fleet.market.list_locations(fleet.machines.values(), fleet.now())
        return reply({"data": {"locations": told}})

    async def _hostnodes(self, request: web.Request) -> web.Response:
        """Of the filters only the one by location is honoured."""
        wanted = request.query.get("location")
        told = [one for one in self._hosts() if wanted in (None, one["location_id"])]
        return reply({"data": {"hostnodes": told}})

    async def _hostnode(self, request: web.Request) -> web.Response:
        sought = request.match_info["id"]
        found = next((one for one in self._hosts() if one["id"] == sought), None)
        if found is None:
            raise error(404, "Hostnode not found")
        return reply({"data": found})

    def _hosts(self) -> list[Body]:
        fleet = self._fleet
        return fleet.market.list_hosts(fleet.machines.values(), fleet.now())

    async def _create(self, request: web.Request) -> web.Response:
        fleet, misfortune = self._fleet, own_misfortune(request)
        order = read_order(await _json(request), fleet.secrets)
        word = misfortune.word if misfortune else None
        if misfortune and word in _TEXTS:
            text = misfortune.text or _TEXTS[misfortune.word]
            raise Refused(text, 400, misfortune.status or 200, fleet.shapes.error)
        if word == Word.IMAGE_REFUSED:
            invalid = Invalid()
            add_bad_image(invalid, order.image)
            raise invalid
        body = fleet.shapes.created(await fleet.create(order))
        if word == Word.NO_ID:
            body["data"]["id"] = ""
        return reply(body, fleet.shapes.create_status)

    async def _list(self, request: web.Request) -> web.Response:
        fleet, misfortune = self._fleet, own_misfortune(request)
        now = fleet.now()
        machines = fleet.listed()
        if fleet.shapes.has_gone_in_list:
            machines = [one for one in fleet.machines.values() if one.appears_at <= now]
        rows = [fleet.shapes.machine(one, now) for one in machines]
        match misfortune.word if misfortune else None:
            case Word.PARTIAL_LIST:
                rows = rows[:-1]
            case Word.EMPTY_LIST:
                rows = []
            case Word.DUPLICATE_ROWS:
                rows = [row for row in rows for _ in range(2)]
        return reply(fleet.shapes.listed(rows))

    async def _show(self, request: web.Request) -> web.Response:
        shapes = self._fleet.shapes
        return reply(shapes.shown(shapes.machine(self._find(request), self._fleet.now())))

    async def _delete(self, request: web.Request) -> web.Response:
        one, misfortune = self._find(request), own_misfortune(request)
        if misfortune is None or misfortune.word != Word.IGNORED:
            self._fleet.delete(one, _lingers(misfortune))
        if self._fleet.shapes.delete_status == 204:
            return web.Response(status=204)
        message = {"message": "Instance deleted successfully"}
        return reply({"data": {"type": "success", "attributes": message}})

    async def _switch(self, request: web.Request) -> web.Response:
        one, operation = self._find(request), operation_of(request)
        self._fleet.switch(one, operation)
        status = "starting" if operation is Operation.START else "stopping"
        attributes = {"status": self._fleet.shapes.word(status)}
        return reply({"data": {"type": "instance", "id": one.id, "attributes": attributes}})

    async def _modify(self, request: web.Request) -> web.Response:
        """Only what the refusals depend on: nothing here changes a machine."""
        one = self._find(request)
        if not one.status(self._fleet.now()).startswith(STOPPED):
            raise error(400, "Machine must be stopped to be modified")
        return reply({"data": {"type": "instance", "id": one.id, "attributes": {}}})

    async def _secrets(self, _: web.Request) -> web.Response:
        rows = [
            {"type": "SSHKEY", "id": secret_id, "name": name}
            for secret_id, (name, _) in self._fleet.secrets.items()
        ]
        return reply({"data": {"secrets": rows}})

    async def _new_secret(self, request: web.Request) -> web.Response:
        body = await _json(request)
        try:
            attributes = body["data"]["attributes"]
            secret = str(attributes["name"]), str(attributes["value"])
        except (KeyError, TypeError):
            raise error(400, "Name and value are required") from None
        secret_id = str(uuid.uuid4())
        self._fleet.secrets[secret_id] = secret
        return reply({"data": {"type": "secret", "id": secret_id}})

    async def _secret(self, request: web.Request) -> web.Response:
        secret_id = request.match_info["id"]
        if secret_id not in self._fleet.secrets:
            raise error(404, "Secret not found")
        name, value = self._fleet.secrets[secret_id]
        attributes = {"type": "SSHKEY", "name": name, "value": value}
        return reply({"data": {"type": "secret", "id": secret_id, "attributes": attributes}})

    async def _drop_secret(self, request: web.Request) -> web.Response:
        if self._fleet.secrets.pop(request.match_info["id"], None) is None:
            raise error(404, "Secret not found")
        return web.Response(status=204)

    async def _no_patch(self, _: web.Request) -> web.Response:
        raise error(405, "Method not allowed")

    async def _balance(self, request: web.Request) -> web.Response:
        fleet, form = self._fleet, await request.post()
        if (form.get("api_key"), form.get("api_token")) != (self._auth_id, self._api_token):
            return reply({"success": False, "error": "Invalid API key or token"}, 400)
        hourly = fleet.ledger.hourly(fleet.machines.values(), fleet.now())
        balance = round(float(fleet.ledger.balance), 4)
        return reply({"success": True, "balance": balance, "hourly_cost": float(hourly)})

    async def _nothing(self, _: web.Request) -> web.Response:
        return page(404)

    def _find(self, request: web.Request) -> VirtualMachine:
        return self._fleet.find(request.match_info["id"])


def _lingers(misfortune: Misfortune | None) -> timedelta | None:
    return misfortune.delay if misfortune and misfortune.word == Word.LINGERS else None


async def _json(request: web.Request) -> Body:
    """The body that was sent. Raises `Refused` where it is no JSON."""
    try:
        body: Body = json.loads(await request.text())
    except ValueError:
        raise error(400, "Invalid JSON") from None
    return body
