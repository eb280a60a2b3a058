"""What a service and the proxies in front of it can answer with."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Body = dict[str, Any]

_PAGE = "<html><head><title>{0}</title></head><body><h1>{0}</h1><hr>nginx</body></html>\n"
_TITLES = {404: "404 Not Found", 502: "502 Bad Gateway", 503: "503 Service Unavailable"}


class Refused(Exception):
    """A refusal that can be raised where a call is served."""

    def response(self) -> web.Response:
        """What the client is answered."""
        raise NotImplementedError


def reply(body: object, status: int = 200) -> web.Response:
    """`body` as JSON, with a content type that names no charset."""
    return web.Response(
        body=json.dumps(body).encode(), status=status, content_type="application/json"
    )


def raw(status: int, text: str) -> web.Response:
    """Exactly this text, as JSON where it looks like it."""
    kind = "application/json" if text.startswith(("{", "[")) else "text/plain"
    return web.Response(status=status, body=text.encode(), content_type=kind)


def page(status: int) -> web.Response:
    """What a proxy in front of a service says."""
    title = _TITLES.get(status, str(status))
    return web.Response(status=status, text=_PAGE.format(title), content_type="text/html")
