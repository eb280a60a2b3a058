"""How Vast.ai answers: JSON with a bare content type, refusals with a code and a sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from tests.wire.answers import Body, reply


def refuse(status: int, error: str, msg: str, **more: object) -> web.Response:
    """A refusal in the usual shape."""
    return reply({"success": False, "error": error, "msg": msg, **more}, status)


async def read_body(request: web.Request) -> Body:
    """The JSON object that was sent; nothing is an empty one. Raises 400 for anything else."""
    text = await request.text()
    try:
        body = json.loads(text) if text else {}
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise bad_request("invalid_args", "Invalid json_body")
    return body


def read_parameter(query: Mapping[str, str], name: str, default: Any) -> Any:
    """A query parameter that is JSON, or `default` without it. Raises 400 where it is none."""
    try:
        return json.loads(query[name]) if name in query else default
    except ValueError as error:
        raise bad_request("invalid_request", f"Error in query parameters: {name}") from error


def bad_request(error: str, msg: str) -> web.HTTPBadRequest:
    """A refusal that can be raised."""
    body = {"success": False, "error": error, "msg": msg}
    return web.HTTPBadRequest(text=json.dumps(body), content_type="application/json")
