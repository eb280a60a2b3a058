"""Answers about the market that are encoded once and sent until the market changes."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from aiohttp import hdrs, web

from broker.api.http import encode, raw_response
from broker.model import Warned

_MOST_PAGES = 64


@dataclass(frozen=True, slots=True)
class Page:
    """Rows as JSON, and what is said about them."""

    rows: bytes
    digest: bytes
    """Of the rows."""
    count: int
    total: int
    warnings: tuple[Warned, ...] = ()


def page_of(rows: Sequence[object], total: int, warnings: Iterable[Warned] = ()) -> Page:
    """A page with these rows, out of `total`."""
    encoded = encode(rows)
    digest = hashlib.blake2b(encoded, digest_size=12).digest()
    return Page(encoded, digest, len(rows), total, tuple(warnings))


class Pages:
    """The latest pages of one revision of the market."""

    def __init__(self) -> None:
        self._revision: object = None
        self._pages: OrderedDict[str, Page] = OrderedDict()

    def get(self, key: str, revision: object, make: Callable[[], Page]) -> Page:
        """The page of that key, made where there is none of this revision."""
        if revision != self._revision:
            self._pages.clear()
            self._revision = revision
        page = self._pages.get(key)
        if page is None:
            page = self._pages[key] = make()
            if len(self._pages) > _MOST_PAGES:
                self._pages.popitem(last=False)
        return page


def conditional(request: web.Request, body: Callable[[], bytes], *said: bytes) -> web.Response:
    """The answer with an ETag of what it says, or 304 where the client has that already.

    The tag is weak: how old a reading is, in seconds, is left out of it.
    """
    tag = hashlib.blake2b(b"\0".join(said), digest_size=12).hexdigest()
    headers: dict[str, str] = {hdrs.ETAG: f'W/"{tag}"'}
    if any(known.value in ("*", tag) for known in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return raw_response(body(), headers=headers)
