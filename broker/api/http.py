"""What every route shares: reading a request into a model, writing a value as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

import orjson
from aiohttp import hdrs, web
from pydantic import BaseModel, ConfigDict, ValidationError

from broker.decide.money import shown
from broker.decide.plain import instant_text
from broker.errors import BrokerError, Detail, ValidationFailed

M = TypeVar("M", bound=BaseModel)


class UnsupportedMediaType(BrokerError):
    """The body must be JSON: send it with Content-Type application/json."""

    status = 415
    code = "unsupported_media_type"


class RequestModel(BaseModel):
    """Base of everything a client sends: unknown fields are wrong, and so are NaN and Infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Query(RequestModel):
    """Base of query strings: every parameter may stand once."""


def parse_query(model: type[M], request: web.Request) -> M:
    """The query string as `model`; raises ValidationFailed naming every wrong parameter."""
    repeated = [name for name in set(request.query) if len(request.query.getall(name)) > 1]
    if repeated:
        raise ValidationFailed(
            "A query parameter stands more than once.",
            details=[Detail(name, "may stand only once") for name in sorted(repeated)],
        )
    return _validated(model, dict(request.query), "query parameters")


async def parse_body(model: type[M], request: web.Request) -> M:
    """The JSON body as `model`.

    Raises ValidationFailed naming every wrong field, and UnsupportedMediaType where the
    body is declared to be something else than JSON.
    """
    raw = await request.read()
    if raw and request.content_type != "application/json":
        raise UnsupportedMediaType
    return _validated(model, _parse_json(raw), "fields")


def _parse_json(raw: bytes) -> object:
    try:
        return json.loads(raw or b"{}", object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValidationFailed("The body is nested too deeply.") from error
    except ValueError as error:
        if isinstance(error, _DuplicateKey):
            details = [Detail(str(error), "may stand only once")]
            raise ValidationFailed("A field stands more than once.", details=details) from error
        raise ValidationFailed("The body is not valid JSON.") from error


class _DuplicateKey(ValueError):
    """A JSON object names a field twice."""


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for key, item in pairs:
        if key in value:
            raise _DuplicateKey(key[:128])
        value[key] = item
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _validated(model: type[M], value: object, what: str) -> M:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        details = [_detail(item) for item in error.errors(include_url=False, include_input=False)]
        names = ", ".join(detail.field for detail in details[:5] if detail.field)
        raise ValidationFailed(f"Wrong {what}: {names or 'the body'}.", details=details) from error


def _detail(item: Mapping[str, Any]) -> Detail:
    path = ".".join(str(part) for part in item["loc"])[:128]
    if item["type"] == "extra_forbidden":
        return Detail(path, "is not known")
    if item["type"] == "missing":
        return Detail(path, "is required")
    message = str(item["msg"]).removeprefix("Value error, ")
    return Detail(path, message[:1].lower() + message[1:])


def present_money(amount: Decimal) -> float | int:
    """USD as a JSON number with at most 6 decimals; the arithmetic before it is decimal."""
    rounded = shown(amount)
    return int(rounded) if rounded == rounded.to_integral_value() else float(rounded)


def _default(value: object) -> object:
    if isinstance(value, Decimal):
        return present_money(value)
    if isinstance(value, datetime):
        return instant_text(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, frozenset):
        return sorted(value)
    raise TypeError(type(value).__name__)


def encode(value: object) -> bytes:
    """JSON as the API writes it."""
    return orjson.dumps(
        value,
        default=_default,
        option=orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_NON_STR_KEYS,
    )


def json_response(
    value: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """An answer with `value` as its JSON body."""
    return raw_response(encode(value), status, headers)


def raw_response(
    body: bytes, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """An answer whose JSON is already encoded."""
    sent = {hdrs.CONTENT_TYPE: "application/json; charset=utf-8", **(headers or {})}
    return web.Response(body=body, status=status, headers=sent)
