"""The calls about instances: show, start, stop, label, destroy; one and several."""

from __future__ import annotations

from datetime import timedelta

from aiohttp import web

from tests.vast_wire.answers import read_body, refuse
from tests.vast_wire.contracts import Contract
from tests.vast_wire.fleet import Fleet
from tests.vast_wire.market import gpus_of, overlaps
from tests.vast_wire.misfortunes import Word
from tests.vast_wire.refusals import Refused, invalid
from tests.wire.answers import Body, reply
from tests.wire.gate import own_misfortune
from tests.wire.misfortunes import Misfortune

_LONGEST_LABEL = 1024
_QUEUED = "Required resources are currently unavailable, state change queued."


class Instances:
    """What is done with the instances of an account."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def routes(self) -> list[web.RouteDef]:
        """Everything under `/api/v0/instances/` that is not its keys or its output."""
        one = r"/api/v0/instances/{id:\d+}/"
        return [
            web.get("/api/v0/instances/", self._old_list),
            web.get("/api/v0/instances", self._old_list),
            web.put("/api/v0/instances/", self._change_many),
            web.delete("/api/v0/instances/", self._destroy_many),
            web.get(one, self._show),
            web.put(one, self._change),
            web.delete(one, self._destroy),
            web.put(r"/api/v0/instances/reboot/{id:\d+}/", self._reboot),
            web.put(r"/api/v0/instances/recycle/{id:\d+}/", self._reboot),
            web.put(r"/api/v0/instances/bid_price/{id:\d+}/", self._bid),
            web.put(r"/api/v0/instances/update_template/{id:\d+}/", self._reboot),
        ]

    async def _old_list(self, request: web.Request) -> web.Response:
        msg = f"{request.path} is deprecated. Use /api/v1/instances/ instead."
        return refuse(410, "deprecated_endpoint", msg)

    async def _show(self, request: web.Request) -> web.Response:
        misfortune = own_misfortune(request)
        if misfortune is not None and misfortune.word == Word.NULL_INSTANCE:
            return reply({"instances": None})
        try:
            contract = self._find(request)
        except Refused:
            return reply({"instances": None})
        return reply({"instances": self._fleet.row(contract)})

    async def _change(self, request: web.Request) -> web.Response:
        contract = self._find(request)
        return reply(self._changed(contract, await read_body(request), own_misfortune(request)))

    async def _change_many(self, request: web.Request) -> web.Response:
        body = await read_body(request)
        contracts = [self._fleet.find(one) for one in body.pop("ids", [])]
        for contract in contracts:
            self._changed(contract, body, own_misfortune(request))
        return reply({"success": True})

    async def _destroy(self, request: web.Request) -> web.Response:
        self._ended(self._find(request), own_misfortune(request))
        return reply({"success": True})

    async def _destroy_many(self, request: web.Request) -> web.Response:
        ids = (await read_body(request)).get("instance_ids")
        if not isinstance(ids, list):
            raise invalid("Invalid args: 'instance_ids' is required")
        for contract in [self._fleet.find(one) for one in ids]:
            self._ended(contract, own_misfortune(request))
        return reply({"success": True})

    async def _reboot(self, request: web.Request) -> web.Response:
        contract = self._find(request)
        self._fleet.start(contract)
        return reply({"success": True})

    async def _bid(self, request: web.Request) -> web.Response:
        contract = self._find(request)
        price = (await read_body(request)).get("price")
        if contract.order.price is None:
            raise invalid("Invalid args: the instance is no bid", "invalid_price")
        contract.bid = float(price or contract.bid or 0)
        return reply({"success": True})

    def _find(self, request: web.Request) -> Contract:
        return self._fleet.find(request.match_info["id"])

    def _ended(self, contract: Contract, misfortune: Misfortune | None) -> None:
        word = misfortune.word if misfortune else None
        if word == Word.IGNORED:
            return
        lingers = misfortune.delay if misfortune and word == Word.LINGERS else timedelta()
        self._fleet.destroy(contract, lingers=lingers)

    def _changed(self, contract: Contract, body: Body, misfortune: Misfortune | None) -> Body:
        if "label" in body:
            if len(str(body["label"] or "")) > _LONGEST_LABEL:
                raise Refused(400, "label_too_long", "The label is too long.")
            contract.label = body["label"]
            return {"success": True}
        match body.get("state"):
            case "stopped":
                contract.stop(self._fleet.now())
            case "running":
                return self._started(contract, misfortune)
            case state:
                raise invalid(f"Invalid args: state {state}")
        self._fleet.settle()
        return {"success": True}

    def _started(self, contract: Contract, misfortune: Misfortune | None) -> Body:
        now = self._fleet.now()
        if self._fleet.ledger.credit <= 0:
            raise Refused(400, "missing_billing", "Your account lacks credit.")
        if contract.is_expired(now):
            raise invalid("Invalid args: the contract has expired")
        if contract.phase(now).intended == "running":
            return {"success": True}
        if misfortune is not None and misfortune.word == Word.QUEUED:
            self._fleet.start(contract, in_time=misfortune.delay or None)
            return {"success": False, "msg": _QUEUED}
        if self._is_taken(contract):
            self._fleet.start(contract, in_time=None)
            return {"success": False, "msg": _QUEUED}
        self._fleet.start(contract)
        self._fleet.settle()
        return {"success": True}

    def _is_taken(self, contract: Contract) -> bool:
        """Whether somebody has rented its GPUs while it was stopped."""
        now = self._fleet.now()
        return any(
            overlaps(contract.ask, *gpus_of(other.ask))
            for other in self._fleet.listed()
            if other is not contract and other.holds_gpus(now)
        )
