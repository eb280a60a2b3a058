"""The templates of Vast.ai: a search by column, and a new hash for every change."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aiohttp import web

from tests.vast_wire.answers import read_body, read_parameter, refuse
from tests.vast_wire.filters import in_order, is_match
from tests.wire.answers import Body, reply

FILTERABLE = frozenset({
    "creator_id", "created_at", "count_created", "default_tag", "docker_login_repo", "id", "image",
    "jup_direct", "hash_id", "name", "private", "recent_create_date", "recommended",
    "recommended_disk_space", "ssh_direct", "tag", "use_ssh",
})  # fmt: skip
_DEFAULTS: Body = {
    "name": None, "image": None, "tag": None, "href": None, "repo": None, "desc": None,
    "readme": None, "readme_visible": True, "env": None, "onstart": None, "args_str": None,
    "runtype": "args", "use_ssh": False, "ssh_direct": False, "jup_direct": False,
    "use_jupyter_lab": False, "jupyter_dir": None, "docker_login_repo": None,
    "extra_filters": {}, "recommended": False, "recommended_disk_space": 8.0, "private": True,
    "default_tag": None, "volume_info": None,
}  # fmt: skip


@dataclass
class Templates:
    """Every template that the account can see, by its hash."""

    now: Callable[[], datetime]
    user_id: int = 1
    kept: dict[str, Body] = field(default_factory=dict)
    _ids: itertools.count[int] = field(default_factory=lambda: itertools.count(338_000))

    def add(self, **columns: Any) -> Body:
        """A further template; one with the same content is told again."""
        content = content_of(columns)
        return self.kept.get(hash_of(content)) or self._keep(content, next(self._ids), columns)

    def change(self, row: Body, columns: Body) -> Body:
        """A new version of `row`: the same id under another hash; what is not told is as new."""
        del self.kept[row["hash_id"]]
        return self._keep(content_of(columns), row["id"], {"created_at": row["created_at"]})

    def find(self, *, hash_id: object = None, template_id: object = None) -> Body | None:
        """The template of this hash or number."""
        if isinstance(hash_id, str) and hash_id in self.kept:
            return self.kept[hash_id]
        return next((row for row in self.kept.values() if row["id"] == template_id), None)

    def search(self, filters: Body, order: Iterable[tuple[str, str]] = ()) -> list[Body]:
        """The rows for which every filter holds."""
        found = [row for row in self.kept.values() if is_match(row, filters)]
        return in_order(found, list(order))

    def rented(self, row: Body) -> None:
        """Count an instance that was made from it."""
        row["count_created"] += 1
        row["recent_create_date"] = self.now().timestamp()

    def _keep(self, content: Body, number: int, columns: Body) -> Body:
        row = {
            **content,
            # The one column that is told as text, although it is sent as an object.
            "extra_filters": json.dumps(content["extra_filters"]),
            "id": number,
            "hash_id": hash_of(content),
            "creator_id": columns.get("creator_id", self.user_id),
            "created_at": columns.get("created_at", self.now().timestamp()),
            "recent_create_date": None,
            "count_created": columns.get("count_created", 0),
        }
        self.kept[row["hash_id"]] = row
        return row


def content_of(columns: Body) -> Body:
    """What a template says, completed; the filters as an object in any spelling."""
    told = {name: columns[name] for name in _DEFAULTS if columns.get(name) is not None}
    content = {**_DEFAULTS, **told}
    if isinstance(content["extra_filters"], str):
        content["extra_filters"] = json.loads(content["extra_filters"])
    content["recommended_disk_space"] = float(content["recommended_disk_space"])
    return content


def hash_of(content: Body) -> str:
    """The hash that stands for exactly this content."""
    return hashlib.md5(json.dumps(content, sort_keys=True).encode()).hexdigest()  # noqa: S324 (no secret)


def routes(templates: Templates) -> list[web.RouteDef]:
    """`/api/v0/template/`: search, add, remove; `/api/v1/template/`: change."""

    async def search(request: web.Request) -> web.Response:
        filters = read_parameter(request.query, "select_filters", {})
        order = read_parameter(request.query, "order_by", [])
        unknown = sorted(set(filters) - FILTERABLE)
        if unknown:
            msg = f"Error in query parameters: {unknown[0]} is not a valid search key"
            return refuse(400, "invalid_request", msg)
        rows = templates.search(filters, [(key["col"], key["dir"]) for key in order])
        return reply({"success": True, "templates_found": len(rows), "templates": rows})

    async def add(request: web.Request) -> web.Response:
        body = await read_body(request)
        if not body.get("name"):
            return refuse(400, "invalid_args", "Template name is required")
        row = templates.add(**body)
        msg = f"Template Created Successfully! New Template ID: {row['id']}"
        return reply({"success": True, "msg": msg, "template": _named(row)})

    async def change(request: web.Request) -> web.Response:
        body = await read_body(request)
        row = templates.find(hash_id=body.get("hash_id"))
        if row is None or row["id"] != body.get("id"):
            return refuse(404, "not_found", "Template not found")
        if not body.get("name"):
            return refuse(400, "invalid_args", "Template name is required")
        return reply({"success": True, "template": templates.change(row, body)})

    async def remove(request: web.Request) -> web.Response:
        body = await read_body(request)
        row = templates.find(hash_id=body.get("hash_id"), template_id=body.get("template_id"))
        if row is None:
            return refuse(404, "not_found", "Template not found")
        del templates.kept[row["hash_id"]]
        return reply({"success": True, "msg": "Template Deleted Successfully!"})

    return [
        web.get("/api/v0/template/", search),
        web.post("/api/v0/template/", add),
        web.put("/api/v1/template/", change),
        web.delete("/api/v0/template/", remove),
    ]


def _named(row: Body) -> Body:
    return {name: row[name] for name in ("name", "id", "hash_id")}
