"""What can go wrong with a route, as its document describes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from aiohttp import hdrs

from broker.api.examples import example_of
from broker.api.http import UnsupportedMediaType
from broker.api.middleware import BodyTooLarge
from broker.api.routes import Route
from broker.api.schemas import Schema
from broker.errors import (
    BrokerError,
    CapabilityUnsupported,
    IdempotencyMismatch,
    InsufficientDisk,
    StaleInventory,
    StoreUnwritable,
    ValidationFailed,
)

Problem = type[BrokerError]

_FURTHER_FIELDS: Mapping[Problem, tuple[str, ...]] = {
    ValidationFailed: ("details",),
    CapabilityUnsupported: ("details",),
    InsufficientDisk: ("details", "requested_gb", "minimum_gb", "recommended_gb", "breakdown"),
    StaleInventory: ("error_type", "offer_id", "provider", "message"),
}
"""What the body has beside `error`, `code`, `request_id` and `retry_suggested`."""


def describe_problems(route: Route, components: Mapping[str, Schema]) -> dict[int, Schema]:
    """Every status of an error that the route can answer -> its description, schema, examples."""
    ordered = sorted({*route.errors, *_everywhere(route)}, key=_place)
    return {
        status: _describe([*problems], components)
        for status, problems in groupby(ordered, key=lambda one: one.status)
    }


def _place(problem: Problem) -> tuple[int, str, str]:
    """Where it stands among the others, the same in every process."""
    return problem.status, problem.code, problem.__name__


def _everywhere(route: Route) -> Iterable[Problem]:
    """What is answered before a handler is asked, and what nobody foresaw."""
    yield from (BrokerError, ValidationFailed)
    if route.method != hdrs.METH_GET:
        yield StoreUnwritable
    if route.body is not None:
        yield from (UnsupportedMediaType, BodyTooLarge)
    if route.is_keyed:
        yield IdempotencyMismatch


def _describe(problems: Sequence[Problem], components: Mapping[str, Schema]) -> Schema:
    codes = sorted({problem.code for problem in problems})
    word: Schema = {"properties": {"code": {"enum": codes}}}
    return {
        "description": " ".join(_message(problem) for problem in problems),
        "content": {
            "application/json": {
                "schema": {"allOf": [{"$ref": "#/components/schemas/Error"}, word]},
                "examples": {
                    problem.__name__: {"value": _example(problem, components)}
                    for problem in problems
                },
            }
        },
    }


def _message(problem: Problem) -> str:
    return (problem.__doc__ or "").strip()


def _example(problem: Problem, components: Mapping[str, Schema]) -> Schema:
    fields = components["Error"]["properties"]
    retry = problem.retry_suggested
    return {
        "error": _message(problem),
        "code": problem.code,
        "request_id": example_of(fields["request_id"], components),
        **({} if retry is None else {"retry_suggested": retry}),
        **{name: example_of(fields[name], components) for name in _FURTHER_FIELDS.get(problem, ())},
    }
