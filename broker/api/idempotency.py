"""The Idempotency-Key header: what makes a request that is sent twice be carried out once."""

from __future__ import annotations

import json
from collections.abc import Mapping

from aiohttp import web
from pydantic import BaseModel

from broker.api.fields import LONGEST_TEXT
from broker.errors import Detail, ValidationFailed
from broker.usecases.idempotency import Keyed, Turn

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"


def parse_key(request: web.Request) -> str | None:
    """The request's key; None where it has none. Raises ValidationFailed."""
    given = request.headers.getall(HEADER, [])
    if not given:
        return None
    if len(given) > 1:
        raise _wrong("may stand only once")
    (key,) = given
    if not (key.isascii() and key.isprintable()) or not 0 < len(key) <= LONGEST_TEXT:
        raise _wrong(f"must hold 1 to {LONGEST_TEXT} printable ASCII characters")
    return key


def parse_keyed(request: web.Request, body: BaseModel) -> Keyed | None:
    """The request's key with everything that it asks for; None where it has no key.

    Raises ValidationFailed.
    """
    key = parse_key(request)
    if key is None:
        return None
    fields = body.model_dump(mode="json", exclude_unset=True)
    return Keyed(key, json.dumps([request.method, request.path, fields], sort_keys=True).encode())


def replay_headers(turn: Turn) -> Mapping[str, str]:
    """Tells a client that its request had been carried out before."""
    return {REPLAYED: "true"} if turn.carried_out is not None else {}


def _wrong(problem: str) -> ValidationFailed:
    return ValidationFailed(f"Wrong header: {HEADER}.", details=[Detail(HEADER, problem)])
