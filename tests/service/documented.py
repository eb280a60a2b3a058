"""Every answer that a test gets is held against the OpenAPI document."""

from __future__ import annotations

import json
import re
from functools import cache
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import aiohttp
import jsonschema_rs

from broker.app import api_document

_HERE = "urn:api"
_PARAMETER = re.compile(r"\\{\w+\\}")
_UNDOCUMENTED = {404: "resource_not_found", 405: "method_not_allowed"}
"""What a path or a method that is in no table answers."""


def documented(origin: str | None = None) -> aiohttp.TraceConfig:
    """Makes a client fail where an answer of the broker at `origin` is not as documented."""
    trace = aiohttp.TraceConfig()

    async def check(_: object, __: SimpleNamespace, seen: aiohttp.TraceRequestEndParams) -> None:
        answer = seen.response
        is_ours = origin in {None, str(seen.url.origin())}
        if is_ours and not seen.url.path.startswith("/simulator/"):
            check_answer(seen.method, seen.url.raw_path, answer, await answer.read())

    trace.on_request_end.append(check)
    return trace


def check_answer(method: str, path: str, answer: aiohttp.ClientResponse, body: bytes) -> None:
    """Fail where the status, the headers, the content type or the body is not documented."""
    __tracebackhide__ = True
    what = f"{method} {path}: {answer.status}"
    place = find_operation("GET" if method == "HEAD" else method, path)
    if place is None:
        assert answer.status in _UNDOCUMENTED, f"{what} of a route that is not in the document"
        content: Any = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
        pointer = "#/components/schemas/Error"
    else:
        responses = resolve(place)["responses"]
        assert str(answer.status) in responses, f"{what} is not documented: add it to the Route"
        response = responses[str(answer.status)]
        for name, header in api_document()["components"]["headers"].items():
            if name in response["headers"]:
                assert name in answer.headers or not header.get("required"), f"{what}: no {name}"
            else:
                assert name not in answer.headers, f"{what} with {name}, which is not documented"
        content = response.get("content", {})
        pointer = f"{place}/responses/{answer.status}/content/application~1json/schema"
    assert not content or answer.content_type in content, f"{what} as {answer.content_type}"
    if method != "HEAD" and "schema" in content.get("application/json", {}) and body:
        for problem in validator(pointer).iter_errors(json.loads(body)):
            where = "/".join(map(str, problem.instance_path))
            raise AssertionError(f"{what} is not as documented: {where}: {problem.message[:500]}")


def find_operation(method: str, path: str) -> str | None:
    """The pointer to the operation of a request."""
    for template, pattern in patterns():
        operation = method.lower()
        if pattern.fullmatch(path) and operation in api_document()["paths"][template]:
            return f"#/paths/{escape(template)}/{operation}"
    return None


@cache
def patterns() -> list[tuple[str, re.Pattern[str]]]:
    """Every path of the document and what it matches, those without parameters first."""
    paths = sorted(api_document()["paths"], key=lambda path: "{" in path)
    return [(path, re.compile(_PARAMETER.sub("[^/]+", re.escape(path)))) for path in paths]


def resolve(pointer: str) -> Any:
    """What stands at a place of the document."""
    found: Any = api_document()
    for step in pointer.removeprefix("#/").split("/"):
        found = found[step.replace("~1", "/")]
    return found


def escape(path: str) -> str:
    """A path as one step of a pointer."""
    return path.replace("/", "~1")


@cache
def validator(pointer: str) -> jsonschema_rs.Draft202012Validator:
    """Of the schema at a place of the document."""
    return jsonschema_rs.Draft202012Validator(
        {"$ref": _HERE + quote(pointer, safe="#/~")}, registry=registry(), validate_formats=True
    )


@cache
def registry() -> jsonschema_rs.Registry:
    """The document, for the references in it."""
    return jsonschema_rs.Registry([(_HERE, api_document())])
