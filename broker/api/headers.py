"""The headers of the API, as its document describes them."""

from __future__ import annotations

from collections.abc import Mapping

from broker.api.fields import LONGEST_TEXT
from broker.api.idempotency import HEADER as IDEMPOTENCY_KEY
from broker.api.idempotency import REPLAYED
from broker.api.middleware import REQUEST_ID_HEADER
from broker.api.preferences import APPLIED as PREFERENCE_APPLIED
from broker.api.preferences import HEADER as PREFER
from broker.api.preferences import RESPOND_ASYNC
from broker.api.schemas import Schema

__all__ = [
    "ANSWERED",
    "ETAG",
    "IDEMPOTENCY_KEY",
    "IF_NONE_MATCH",
    "PREFER",
    "PREFERENCE_APPLIED",
    "REPLAYED",
    "REQUEST_ID_HEADER",
    "RETRY_AFTER",
    "SENT",
]

ETAG = "ETag"
IF_NONE_MATCH = "If-None-Match"
RETRY_AFTER = "Retry-After"

SENT: Mapping[str, Schema] = {
    REQUEST_ID_HEADER: {
        "name": REQUEST_ID_HEADER,
        "in": "header",
        "description": (
            "Your name for this request: up to 128 letters, digits, dots, hyphens, underscores. "
            "The answer and the log carry it; another one is made where it is not such."
        ),
        "schema": {"type": "string"},
        "example": "import-17",
    },
    IF_NONE_MATCH: {
        "name": IF_NONE_MATCH,
        "in": "header",
        "description": "The ETag of an earlier answer: 304 where nothing has changed since.",
        "schema": {"type": "string"},
        "example": 'W/"6e0f2a5d3c1b4f7889aa01cd"',
    },
    IDEMPOTENCY_KEY: {
        "name": IDEMPOTENCY_KEY,
        "in": "header",
        "description": (
            "Any text of yours that is new for every request. The same key with the same request "
            "is carried out once, within 24 hours; with another request it is 409."
        ),
        "schema": {
            "type": "string",
            "minLength": 1,
            "maxLength": LONGEST_TEXT,
            "pattern": "^[ -~]*$",
        },
        "example": "5f9c1b1e-7c55-4f0e-8f86-0d9f6f1f7a42",
    },
    PREFER: {
        "name": PREFER,
        "in": "header",
        "description": (
            "`respond-async`: answer 202 at once, before the work is done; it goes on by itself."
        ),
        "schema": {"type": "string"},
        "example": "respond-async",
    },
}
"""What requests may carry, by name."""

ANSWERED: Mapping[str, Schema] = {
    REQUEST_ID_HEADER: {
        "description": "The name of this request, yours or one that was made.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
        "example": "import-17",
    },
    ETAG: {
        "description": "Changes when the answer says something else.",
        "required": True,
        "schema": {"type": "string"},
        "example": 'W/"6e0f2a5d3c1b4f7889aa01cd"',
    },
    REPLAYED: {
        "description": "`true` where an earlier request with this Idempotency-Key did the work.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    PREFERENCE_APPLIED: {
        "description": "The preference that was followed.",
        "schema": {"type": "string", "enum": [RESPOND_ASYNC]},
    },
    RETRY_AFTER: {
        "description": "Seconds after which it is worth another try.",
        "schema": {"type": "integer", "minimum": 0},
        "example": 5,
    },
}
"""What answers may carry, by name."""
