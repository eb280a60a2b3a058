"""The SSH keys of an account at Vast.ai: they are put on every instance that is made later.

Any text is taken for a key; one that is none, or is in quotes, opens nothing."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from aiohttp import web

from tests.vast_wire.answers import read_body, refuse
from tests.wire.answers import Body, reply


@dataclass
class AccountKey:
    """One key, as the account lists it."""

    id: int
    public_key: str
    created_at: datetime


@dataclass
class AccountKeys:
    """The keys of one account. `is_team` accounts can have none."""

    now: Callable[[], datetime]
    user_id: int = 1
    is_team: bool = False
    kept: dict[int, AccountKey] = field(default_factory=dict)
    _ids: itertools.count[int] = field(default_factory=lambda: itertools.count(70_001))

    @property
    def public_keys(self) -> tuple[str, ...]:
        """What a new instance accepts."""
        return tuple(key.public_key for key in self.kept.values())

    def add(self, public_key: str) -> AccountKey:
        """A further key; one that is there already is told again."""
        for key in self.kept.values():
            if key.public_key == public_key:
                return key
        key = AccountKey(next(self._ids), public_key, self.now())
        self.kept[key.id] = key
        return key


def routes(keys: AccountKeys) -> list[web.RouteDef]:
    """`/api/v0/ssh/`: list, add, change, remove."""

    async def show(request: web.Request) -> web.Response:
        if not keys.kept:
            return refuse(404, "not_found", "No SSH keys found")
        return reply([_row(keys, key) for key in keys.kept.values()])

    async def add(request: web.Request) -> web.Response:
        if keys.is_team:
            msg = "SSH keys can only be created in personal context."
            return refuse(400, "team_ssh_keys_not_supported", msg)
        text = (await read_body(request)).get("ssh_key")
        if not text:
            return refuse(400, "no_ssh_key", "No ssh key provided")
        return reply({"success": True, "key": _created(keys, keys.add(str(text).strip()))})

    async def change(request: web.Request) -> web.Response:
        key = keys.kept.get(int(request.match_info["id"]))
        text = (await read_body(request)).get("ssh_key")
        if key is None or not text:
            return refuse(400, "no_ssh_key", "No ssh key provided")
        key.public_key = str(text).strip()
        return reply({"success": True, "key": _created(keys, key)})

    async def remove(request: web.Request) -> web.Response:
        if keys.kept.pop(int(request.match_info["id"]), None) is None:
            return refuse(400, "no_ssh_key", "No ssh key provided")
        return reply({"success": True})

    return [
        web.get("/api/v0/ssh/", show),
        web.post("/api/v0/ssh/", add),
        web.put(r"/api/v0/ssh/{id:\d+}/", change),
        web.delete(r"/api/v0/ssh/{id:\d+}/", remove),
    ]


def _row(keys: AccountKeys, key: AccountKey) -> Body:
    return {
        "id": key.id,
        "user_id": keys.user_id,
        "key": key.public_key,
        "created_at": key.created_at.isoformat(),
        "deleted_at": None,
    }


def _created(keys: AccountKeys, key: AccountKey) -> Body:
    """The reply to a new key names it otherwise than the list does."""
    row = _row(keys, key)
    return {**row, "public_key": row.pop("key")}
