"""The calls that rent: one offer, several, or whatever a search finds."""

from __future__ import annotations

from aiohttp import web

from tests.vast_wire.answers import read_body, refuse
from tests.vast_wire.contracts import Order
from tests.vast_wire.fleet import Fleet
from tests.vast_wire.misfortunes import Word
from tests.vast_wire.orders import parse_order
from tests.vast_wire.refusals import Refused, invalid, no_credit, no_such_ask
from tests.vast_wire.search import search
from tests.vast_wire.templates import Templates
from tests.wire.answers import Body, reply
from tests.wire.gate import own_misfortune
from tests.wire.misfortunes import Misfortune


class Renting:
    """What creates instances."""

    def __init__(self, fleet: Fleet, templates: Templates) -> None:
        self._fleet = fleet
        self._templates = templates

    def routes(self) -> list[web.RouteDef]:
        """`PUT /asks/{id}/` and its two relatives."""
        return [
            web.put(r"/api/v0/asks/{id:\d+}/", self._create),
            web.post("/api/v0/asks/bulk/", self._create_many),
            web.put("/api/v0/launch_instance/", self._launch),
        ]

    async def _create(self, request: web.Request) -> web.Response:
        ask_id = int(request.match_info["id"])
        return reply(await self._rent(ask_id, await read_body(request), own_misfortune(request)))

    async def _create_many(self, request: web.Request) -> web.Response:
        body = await read_body(request)
        ids = body.get("ids")
        if not isinstance(ids, list):
            raise invalid("Invalid args: 'ids' is required")
        misfortune = own_misfortune(request)
        answers: dict[str, Body] = {}
        for ask_id in ids:
            try:
                answers[str(ask_id)] = await self._rent(int(ask_id), body, misfortune)
            except Refused as refused:
                answers[str(ask_id)] = refused.body()
        return reply({"success": True, "results": answers})

    async def _launch(self, request: web.Request) -> web.Response:
        body = await read_body(request)
        now = self._fleet.now().timestamp()
        found = search(self._fleet.offers(), body.get("q") or {}, now)
        if not found:
            return refuse(404, "no_such_ask", "error 404/3603: no_such_ask  no offers found")
        return reply(await self._rent(found[0]["id"], body, own_misfortune(request)))

    async def _rent(self, ask_id: int, body: Body, misfortune: Misfortune | None) -> Body:
        order = parse_order(body, self._template(body))
        ask = self._ask(ask_id, order, misfortune)
        self._check_money(misfortune)
        if isinstance(ask.get("disk_space"), int | float) and order.disk_gb > ask["disk_space"]:
            raise invalid(f"Invalid args: the host has no {order.disk_gb} GB of disk")
        word = misfortune.word if misfortune else None
        is_low = order.price is not None and order.price < float(ask.get("min_bid") or 0)
        is_stopped = is_low or word in (Word.STOPPED_CONTRACT, Word.HOST_BUSY)
        contract = await self._fleet.rent(ask, order, is_stopped=is_stopped)
        if order.template.get("hash_id"):
            self._templates.rented(order.template)
        if is_stopped and word != Word.HOST_BUSY:
            msg = "Bid price is too low." if is_low else "Instance could not be started."
            return {"success": False, "new_contract": contract.id, "msg": msg}
        return {
            "success": True,
            "new_contract": contract.id,
            "instance_api_key": contract.api_key,
            "ask_id": ask_id,
        }

    def _template(self, body: Body) -> Body | None:
        hash_id, number = body.get("template_hash_id"), body.get("template_id")
        if hash_id is None and number is None:
            return None
        template = self._templates.find(hash_id=hash_id, template_id=number)
        if template is None:
            raise invalid(f"Invalid args: there is no template {hash_id or number}")
        return template

    def _ask(self, ask_id: int, order: Order, misfortune: Misfortune | None) -> Body:
        """The offer, if it can be rented now."""
        word = misfortune.word if misfortune else None
        if word == Word.OFFER_GONE:
            self._fleet.market.withdraw(ask_id)
            raise no_such_ask(ask_id, (misfortune and misfortune.status) or 400)
        if word == Word.HOST_BUSY and order.cancel_unavail:
            raise no_such_ask(ask_id, 410)
        for row in self._fleet.offers():
            if row.get("id") == ask_id:
                return row
        raise no_such_ask(ask_id, 410 if order.cancel_unavail else 400)

    def _check_money(self, misfortune: Misfortune | None) -> None:
        word = misfortune.word if misfortune else None
        if word == Word.NO_CREDIT or self._fleet.ledger.credit <= 0:
            raise no_credit()
        if word == Word.SPEND_LIMIT:
            raise invalid("New accounts may only spend so much an hour.", "spend_rate_limit")
