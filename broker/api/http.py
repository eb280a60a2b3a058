"""What every route shares: reading a request into a model, writing a value as JSON."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar
from urllib.parse import unquote, unquote_to_bytes

import orjson
from aiohttp import hdrs, web
from pydantic import BaseModel, ConfigDict, ValidationError

from broker.api.document import parse_document
from broker.decide.money import shown
from broker.decide.plain import instant_text
from broker.errors import BrokerError, Detail, ValidationFailed

LARGEST_BODY = 1_000_000
"""Bytes."""

BODY_PATIENCE = 30.0
"""Seconds that a body may take to arrive."""

_LONGEST_PATH = 128
_MOST_NAMED = 5
_MOST_DETAILS = 1000
_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii"})
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SUBJECT = re.compile(r"^\w+ should ")
_TWICE = "may stand only once"
_MESSAGES: Mapping[str, str] = {
    "extra_forbidden": "is not known",
    "missing": "is required",
    "model_type": "must be a JSON object",
    "dict_type": "must be an object",
    "tuple_type": "must be a list",
    "string_unicode": "must be Unicode text, without half a character (a lone surrogate)",
}
"""Where pydantic speaks of Python, or at length: type of the error -> what we say."""


M = TypeVar("M", bound="RequestModel")

MISTAKES = web.RequestKey("mistakes", tuple[Detail, ...])
"""What is wrong with a request beside its body: told together with what is wrong with that."""

Check = Callable[[Mapping[str, object]], Iterable[Detail]]
"""What is wrong with the fields that are given, as far as only the broker at work knows it."""


class UnsupportedMediaType(BrokerError):
    """The body must be JSON: send it with Content-Type application/json."""

    status = 415
    code = "unsupported_media_type"


class RequestModel(BaseModel):
    """Base of everything a client sends: unknown fields are wrong, and so are NaN and Infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def contradictions(cls, given: Mapping[str, object]) -> Iterable[Detail]:  # noqa: ARG003
        """What is wrong with the fields that are given, and those that are not, taken together."""
        return ()


class Query(RequestModel):
    """Base of query strings: every parameter may stand once."""


def parse_query(model: type[M], request: web.Request, *checks: Check) -> M:
    """The query string as `model`; raises ValidationFailed naming every wrong parameter."""
    problems = [
        *(Detail(name, "is not UTF-8 in percent-encoding") for name in _undecodable(request)),
        *(
            Detail(name, _TWICE)
            for name in sorted(set(request.query))
            if _is_repeated(name, request)
        ),
    ]
    return _validated(model, dict(request.query), "query parameters", problems, checks)


def _is_repeated(name: str, request: web.Request) -> bool:
    return len(request.query.getall(name)) > 1


def _undecodable(request: web.Request) -> Iterator[str]:
    """The parameters whose percent-encoding says nothing."""
    for parameter in request.raw_path.partition("?")[2].split("&"):
        try:
            unquote_to_bytes(parameter).decode()
            is_wrong = _BAD_PERCENT.search(parameter) is not None
        except UnicodeDecodeError:
            is_wrong = True
        if is_wrong:
            yield unquote(parameter.partition("=")[0])


async def parse_body(model: type[M], request: web.Request, *checks: Check) -> M:
    """The JSON body as `model`; no body is an empty object.

    Raises ValidationFailed naming every wrong field, and UnsupportedMediaType where the
    body is declared to be something else than JSON.
    """
    mistakes = request.get(MISTAKES, ())
    raw = await _read(request)
    if not raw:
        return _validated(model, {}, "fields", mistakes, checks)
    _require_json(request)
    document = parse_document(raw)
    repeated = [Detail(path, _TWICE) for path in document.repeated]
    return _validated(model, document.value, "fields", [*mistakes, *repeated], checks)


async def _read(request: web.Request) -> bytes:
    if (size := request.content_length or 0) > LARGEST_BODY:
        raise web.HTTPRequestEntityTooLarge(max_size=LARGEST_BODY, actual_size=size)
    try:
        async with asyncio.timeout(BODY_PATIENCE):
            return await request.read()
    except (web.RequestPayloadError, ConnectionError, TimeoutError) as error:
        raise ValidationFailed("The body did not arrive whole.") from error


def _require_json(request: web.Request) -> None:
    if request.content_type != "application/json":
        raise UnsupportedMediaType
    if (request.charset or "utf-8").lower() not in _CHARSETS:
        raise UnsupportedMediaType("The body must be JSON in UTF-8.")
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise UnsupportedMediaType("The body must not be compressed.")


def _validated(
    model: type[M],
    value: object,
    what: str,
    problems: Sequence[Detail] = (),
    checks: Sequence[Check] = (),
) -> M:
    """`value` as `model`; raises ValidationFailed with these problems and all others."""
    wrong = list(problems)
    try:
        made = model.model_validate(value)
    except ValidationError as error:
        wrong += [_detail(item) for item in error.errors(include_url=False, include_input=False)]
    if isinstance(value, Mapping):
        named = {problem.field for problem in wrong}
        given = {name: one for name, one in value.items() if one is not None}
        for check in (model.contradictions, *checks):
            wrong += (problem for problem in check(given) if problem.field not in named)
    if wrong:
        told = wrong[:_MOST_DETAILS]
        raise ValidationFailed(f"Wrong {what}: {_named(wrong)}.", details=told)
    return made


def _named(problems: Sequence[Detail]) -> str:
    """The first of the fields."""
    names = list(dict.fromkeys(problem.field or '""' for problem in problems))
    shown, more = names[:_MOST_NAMED], len(names) - _MOST_NAMED
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _detail(item: Mapping[str, Any]) -> Detail:
    parts = [str(part) for part in item["loc"] if part != "[key]"]
    path = ".".join(parts) if parts else "body"
    message = _MESSAGES.get(item["type"]) or _reworded(item["msg"])
    return Detail(path[:_LONGEST_PATH], message)


def _reworded(message: str) -> str:
    plain = _SUBJECT.sub("must ", message.removeprefix("Value error, "))
    return plain[:1].lower() + plain[1:]


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
