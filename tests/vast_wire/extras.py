"""What Vast.ai answers beside renting: GPU names, volumes, secrets, money spent, raised prices.

The vendor's own tools ask for these; a broker does not depend on them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.vast_wire.answers import read_body, read_parameter, refuse
from tests.vast_wire.filters import is_match
from tests.wire.answers import Body, reply

Rows = Callable[[], Iterable[Body]]

_PAGE = 20
_FILTERS = ("actual_status", "verification", "gpu_name")


@dataclass
class Extras:
    """The rest of an account. Instances, offers and charges are asked for when they are needed."""

    offers: Rows = tuple
    """Rows with at least `gpu_name`."""
    instances: Rows = tuple
    """Rows of the account's instances."""
    charges: Rows = tuple
    """Rows with `type`, `source`, `amount`, `description`, `day`, `start`, `end`."""
    invoices: list[Body] = field(default_factory=list)
    volumes: list[Body] = field(default_factory=list)
    price_increases: list[Body] = field(default_factory=list)
    """Rows with `pending_price_increase_id` and `contract_id`, until they are answered."""
    secrets: dict[str, str] = field(default_factory=dict)
    api_keys: list[Body] = field(default_factory=list)
    _ids: itertools.count[int] = field(default_factory=lambda: itertools.count(41))

    def instance(self, instance_id: object) -> Body | None:
        """The row of one instance."""
        return next((row for row in self.instances() if row["id"] == instance_id), None)


def open_routes(extras: Extras) -> list[web.RouteDef]:
    """What is answered without a key: the lists of GPUs."""

    async def gpu_names(request: web.Request) -> web.Response:
        return reply({"gpu_names": sorted({row["gpu_name"] for row in extras.offers()})})

    async def gpu_types(request: web.Request) -> web.Response:
        return reply({"gpu_types": []})

    return [
        web.get("/api/v0/gpu_names/unique/", gpu_names),
        web.get("/api/v0/gpu_types/", gpu_types),
    ]


def routes(extras: Extras) -> list[web.RouteDef]:
    """What is answered to the account's own key."""
    return [
        *_instance_routes(extras),
        *_price_routes(extras),
        *_money_routes(extras),
        *_secret_routes(extras),
        *_api_key_routes(extras),
    ]


def _instance_routes(extras: Extras) -> list[web.RouteDef]:
    async def filters(request: web.Request) -> web.Response:
        found = {tuple(row.get(name) for name in _FILTERS) for row in extras.instances()}
        rows = [dict(zip(_FILTERS, values, strict=True)) for values in found]
        return reply({"success": True, "filters": rows})

    async def contracts(request: web.Request) -> web.Response:
        body = await read_body(request)
        wanted = {}
        if body.get("label") is not None:
            wanted["label"] = {"eq": body["label"]}
        if body.get("contract_ids") is not None:
            wanted["id"] = {"in": body["contract_ids"]}
        return reply({"contracts": [row for row in extras.instances() if is_match(row, wanted)]})

    async def volumes(request: web.Request) -> web.Response:
        return reply({"volumes": extras.volumes})

    return [
        web.get("/api/v0/instances/filters/", filters),
        web.post("/api/v0/contracts/fetch/", contracts),
        web.get("/api/v0/volumes", volumes),
        web.get("/api/v0/volumes/", volumes),
    ]


def _price_routes(extras: Extras) -> list[web.RouteDef]:
    async def show(request: web.Request) -> web.Response:
        rows = extras.price_increases
        body = {"success": True, "count": len(rows), "truncated": False}
        return reply({**body, "pending_price_increases": rows})

    async def answer(request: web.Request) -> web.Response:
        body = await read_body(request)
        if body.keys() != {"pending_price_increase_id"}:
            return refuse(400, "invalid_args", "extra fields not permitted")
        for row in extras.price_increases:
            if row["pending_price_increase_id"] == body["pending_price_increase_id"]:
                extras.price_increases.remove(row)
                return reply({"success": True, **body, "contract_id": row["contract_id"]})
        return refuse(404, "no_pending_price_increase", "No pending price increase found.")

    return [
        web.get("/api/v0/instances/pending-price-increases/", show),
        web.put("/api/v0/instances/accept-price-increase/", answer),
        web.put("/api/v0/instances/reject-price-increase/", answer),
    ]


def _money_routes(extras: Extras) -> list[web.RouteDef]:
    async def charges(request: web.Request) -> web.Response:
        return _page(request, extras.charges())

    async def invoices(request: web.Request) -> web.Response:
        return _page(request, extras.invoices)

    async def prepay(request: web.Request) -> web.Response:
        row = extras.instance(int(request.match_info["id"]))
        if row is None:
            return reply({"success": False, "msg": "No such instance"}, 400)
        months = float((await read_body(request))["amount"]) / (row["dph_total"] * 720)
        return reply({"success": True, "timescale": months, "discount_rate": 0.2})

    return [
        web.get("/api/v0/charges/", charges),
        web.get("/api/v1/invoices/", invoices),
        web.put(r"/api/v0/instances/prepay/{id:\d+}/", prepay),
    ]


def _page(request: web.Request, rows: Iterable[Body]) -> web.Response:
    filters = read_parameter(request.query, "select_filters", {})
    limit = int(request.query.get("limit", _PAGE))
    start = int(request.query.get("after_token", 0))
    found = [row for row in rows if is_match(row, filters)]
    page, rest = found[start : start + limit], found[start + limit :]
    token = str(start + limit) if rest else None
    counts = {"count": len(page), "total": len(found), "next_token": token}
    return reply({"success": True, "results": page, **counts})


def _secret_routes(extras: Extras) -> list[web.RouteDef]:
    async def show(request: web.Request) -> web.Response:
        return reply({"success": True, "secrets": extras.secrets})

    async def put(request: web.Request) -> web.Response:
        body = await read_body(request)
        extras.secrets[body["key"]] = body["value"]
        return reply({"success": True, "msg": "Environment variable saved."})

    async def remove(request: web.Request) -> web.Response:
        extras.secrets.pop((await read_body(request))["key"], None)
        return reply({"success": True, "msg": "Environment variable deleted."})

    path = "/api/v0/secrets/"
    return [
        web.get(path, show),
        web.post(path, put),
        web.put(path, put),
        web.delete(path, remove),
    ]


def _api_key_routes(extras: Extras) -> list[web.RouteDef]:
    async def show(request: web.Request) -> web.Response:
        return reply({"apikeys": extras.api_keys})

    async def add(request: web.Request) -> web.Response:
        body = await read_body(request)
        row: dict[str, Any] = {"id": next(extras._ids), "name": body.get("name")}
        extras.api_keys.append({**row, "permissions": body.get("permissions") or {}})
        return reply({"success": True, **row, "key": f"key-{row['id']}"})

    async def remove(request: web.Request) -> web.Response:
        number = int(request.match_info["id"])
        if number not in {row["id"] for row in extras.api_keys}:
            return refuse(404, "not_found", "API key not found.")
        extras.api_keys = [row for row in extras.api_keys if row["id"] != number]
        return reply({"success": True})

    return [
        web.get("/api/v0/auth/apikeys/", show),
        web.post("/api/v0/auth/apikeys/", add),
        web.delete(r"/api/v0/auth/apikeys/{id:\d+}/", remove),
    ]
