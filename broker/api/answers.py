"""Answers about the market: encoded once, sent until the market changes, with an ETag."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import hdrs, web

from broker.api.http import encode, raw_response

_MOST_KEPT = 16_000_000
"""Bytes."""
_BESIDE_BODY = 500
"""Bytes that an answer takes beside its body, about."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A body, and the weak tag of what it says."""

    body: bytes
    tag: str


def answer_of(body: object, says: object | None = None) -> Answer:
    """An answer with that body. What it `says` leaves out the passing of time, where given."""
    encoded = encode(body)
    return tagged(encoded, encoded if says is None else encode(says))


def tagged(body: bytes, says: bytes | None = None) -> Answer:
    """The same for what is encoded already."""
    return Answer(body, hashlib.blake2b(says or body, digest_size=12).hexdigest())


class Answers:
    """The latest answers of one revision of the market, by the query that asked for them."""

    def __init__(self) -> None:
        self._revision: object = None
        self._kept: OrderedDict[str, Answer] = OrderedDict()
        self._size = 0

    def find(self, query: str, revision: object) -> Answer | None:
        """The answer to that query, if it was given in this revision."""
        return self._kept.get(query) if revision == self._revision else None

    def keep(self, query: str, revision: object, answer: Answer) -> None:
        """Keep an answer for as long as the revision stays the same."""
        if revision != self._revision:
            self._kept.clear()
            self._size = 0
            self._revision = revision
        if query not in self._kept:
            self._kept[query] = answer
            self._size += len(answer.body) + _BESIDE_BODY
        while self._size > _MOST_KEPT:
            _, dropped = self._kept.popitem(last=False)
            self._size -= len(dropped.body) + _BESIDE_BODY


def conditional(
    request: web.Request, answer: Answer, sent: Mapping[str, str] | None = None
) -> web.Response:
    """The answer with the headers `sent`, or 304 where the client has it already."""
    headers: dict[str, str] = {hdrs.ETAG: f'W/"{answer.tag}"'}
    if any(known.value in ("*", answer.tag) for known in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return raw_response(answer.body, headers={**(sent or {}), **headers})
