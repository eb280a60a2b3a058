"""The OpenAPI document, from the table of routes and the types that validate and present."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from inspect import cleandoc

from pydantic import BaseModel, ValidationError

from broker.api import headers, shapes
from broker.api.examples import example_of
from broker.api.problems import describe_problems
from broker.api.routes import Media, Route, Tag
from broker.api.schemas import PLACE, Mode, Schema, Schemas, schemas_of

_ABOUT = """
    Times are RFC 3339 in UTC, money is USD as JSON numbers with at most 6 decimals, unknown is
    null. Unknown fields and unknown query parameters are wrong. Every answer carries an
    X-Request-ID; every error has the shape `Error`, whose `code` is the word to act on. What
    answers GET answers HEAD too; a wrong method is 405 with `Allow`, an unknown path 404.
    `/llms.txt` tells the whole way of a session on one page.
"""


def build_document(routes: Sequence[Route], version: str) -> Schema:
    """The document of these routes; `version` is the broker's."""
    schemas = schemas_of(_types(routes))
    paths: dict[str, Schema] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "gpu-broker",
            "version": version,
            "summary": "Rents GPUs from several marketplaces, and makes sure they are gone.",
            "description": cleandoc(_ABOUT),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "This broker."}],
        "tags": [{"name": tag.title, "description": tag.about} for tag in Tag],
        "paths": paths,
        "components": {
            "schemas": _without_queries(schemas.components, routes),
            "parameters": headers.SENT,
            "headers": headers.ANSWERED,
        },
    }


def _types(routes: Iterable[Route]) -> Iterator[tuple[str, Mode, object]]:
    yield "error", "serialization", shapes.Error
    for route in routes:
        for status, shape in route.answers.items():
            if not isinstance(shape, Media):
                yield f"{route.operation} {status}", "serialization", shape
        for name, kind in route.names.items():
            yield f"{route.operation} {name}", "validation", kind
        if route.query is not None:
            yield f"{route.operation} query", "validation", route.query
        if route.body is not None:
            yield f"{route.operation} body", "validation", route.body


def _without_queries(
    components: Mapping[str, Schema], routes: Iterable[Route]
) -> Mapping[str, Schema]:
    """The components; what queries are made of stands in the parameters."""
    queries = {route.query.__name__ for route in routes if route.query is not None}
    return {name: components[name] for name in sorted(components) if name not in queries}


def _operation(route: Route, schemas: Schemas) -> Schema:
    answers = {status: _answer(route, status, schemas) for status in route.answers}
    problems = describe_problems(route, schemas.components)
    responses = {**({304: _NOTHING_NEW} if route.is_conditional else {}), **answers, **problems}
    return {
        "operationId": route.operation,
        "tags": [route.tag.title],
        "summary": route.summary,
        **({"description": route.description} if route.description else {}),
        "parameters": [*_parameters(route, schemas)],
        **({"requestBody": _body(route, route.body, schemas)} if route.body else {}),
        "responses": {
            str(status): {**responses[status], "headers": _headers(route, status)}
            for status in sorted(responses)
        },
    }


_NOTHING_NEW: Schema = {"description": "Nothing has changed since."}


def _headers(route: Route, status: int) -> Schema:
    names = [headers.REQUEST_ID_HEADER]
    if route.is_conditional and status in {200, 304}:
        names.append(headers.ETAG)
    if route.is_keyed and status in route.answers:
        names.append(headers.REPLAYED)
    if route.may_be_asynchronous and status == HTTPStatus.ACCEPTED:
        names.append(headers.PREFERENCE_APPLIED)
    if any(problem.status == status and problem.retry_after for problem in route.errors):
        names.append(headers.RETRY_AFTER)
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _parameters(route: Route, schemas: Schemas) -> Iterator[Schema]:
    for name in route.names:
        schema = schemas.of[f"{route.operation} {name}"]
        yield {"name": name, "in": "path", "required": True, **_described(schema)}
    if route.query is not None:
        query = schemas.components[route.query.__name__]
        for name, schema in query["properties"].items():
            is_required = name in query.get("required", ())
            yield {"name": name, "in": "query", "required": is_required, **_described(schema)}
    sent = [headers.REQUEST_ID_HEADER]
    sent += [headers.IF_NONE_MATCH] if route.is_conditional else []
    sent += [headers.IDEMPOTENCY_KEY] if route.is_keyed else []
    sent += [headers.PREFER] if route.may_be_asynchronous else []
    yield from ({"$ref": f"#/components/parameters/{name}"} for name in sent)


def _described(schema: Schema) -> Schema:
    """A parameter's own description, schema and example; there is no null in an address."""
    rest = {
        key: value
        for key, value in schema.items()
        if key not in {"description", "examples", "anyOf", "type"}
        and (key, value) != ("default", None)
    }
    if "anyOf" in schema:
        rest |= next(part for part in schema["anyOf"] if part != {"type": "null"})
    if "type" in schema:
        kinds = schema["type"]
        rest["type"] = kinds if isinstance(kinds, str) else kinds[0]
    return {
        **({"description": schema["description"]} if "description" in schema else {}),
        "schema": rest,
        **({"example": schema["examples"][0]} if "examples" in schema else {}),
    }


def _body(route: Route, model: type[BaseModel], schemas: Schemas) -> Schema:
    component = schemas.components[model.__name__]
    examples = component.get("examples") or [example_of(component, schemas.components)]
    return {
        "required": not _takes_nothing(model),
        "content": {
            "application/json": {
                "schema": schemas.of[f"{route.operation} body"],
                "examples": {
                    f"{route.operation}_{number}": {"value": example}
                    for number, example in enumerate(examples, 1)
                },
            }
        },
    }


def _takes_nothing(model: type[BaseModel]) -> bool:
    """Whether an empty body is a whole one."""
    try:
        model.model_validate({})
    except ValidationError:
        return False
    return True


def _answer(route: Route, status: int, schemas: Schemas) -> Schema:
    shape = route.answers[status]
    if isinstance(shape, Media):
        content: Schema = {"schema": {"type": "string"}}
        content |= {"example": shape.example} if shape.example else {}
        contents = dict.fromkeys(shape.types, content)
        return {"description": f"{route.summary}.", "content": contents}
    schema = schemas.of[f"{route.operation} {status}"]
    parts = {_name(part, route): part for part in schema.get("anyOf", [schema])}
    components = schemas.components
    return {
        "description": " Or: ".join(
            components.get(name, part)["description"] for name, part in parts.items()
        ),
        "content": {
            "application/json": {
                "schema": schema,
                "examples": {
                    name: {"value": example_of(part, components, name)}
                    for name, part in parts.items()
                },
            }
        },
    }


def _name(schema: Schema, route: Route) -> str:
    """That of the shape; of the route where the shape has none."""
    return str(schema["$ref"]).removeprefix(PLACE) if "$ref" in schema else route.operation
