"""The OpenAPI document: valid, whole, and with examples that fit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

import jsonschema_rs
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import Field
from typing_extensions import TypedDict

from broker.api import shapes
from broker.api.examples import ExampleMissing, example_of
from broker.api.openapi import build_document
from broker.api.routes import Route, Tag
from broker.api.schemas import schemas_of
from broker.app import api_document
from broker.errors import Conflict, InsufficientFunds
from tests.unit.cli_stub import gpu_broker

DOCUMENT: dict[str, Any] = json.loads(json.dumps(api_document()))
_HERE = "urn:api"


def operations() -> Iterator[tuple[str, Any]]:
    """Every operation of the document, with its name."""
    for methods in DOCUMENT["paths"].values():
        for operation in methods.values():
            yield operation["operationId"], operation


def contents() -> Iterator[tuple[str, Any]]:
    """Every JSON body of the document, with its place."""
    for name, operation in operations():
        bodies = {"body": operation.get("requestBody", {}), **operation["responses"]}
        for part, described in bodies.items():
            if "schema" in (content := described.get("content", {}).get("application/json", {})):
                yield f"{name} {part}", content


def fits(schema: Any, value: object) -> bool:
    """Whether a value is as a schema of the document says."""
    registry = jsonschema_rs.Registry([(_HERE, DOCUMENT)])
    absolute = json.loads(json.dumps(schema).replace('"#/', f'"{_HERE}#/'))
    validator = jsonschema_rs.Draft202012Validator(
        absolute, registry=registry, validate_formats=True
    )
    return validator.is_valid(value)


def test_the_document_is_openapi_3_1() -> None:
    """Tools that read OpenAPI can read this one; among the rest, names of operations differ."""
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert [*OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []


@pytest.mark.parametrize(("place", "content"), [*contents()], ids=lambda given: str(given)[:60])
def test_every_json_body_has_examples_and_they_fit(place: str, content: Any) -> None:
    """Whoever copies an example sends what is taken, and reads what is answered."""
    examples = [example["value"] for example in content.get("examples", {}).values()]

    assert examples, place
    assert [value for value in examples if not fits(content["schema"], value)] == []


@pytest.mark.parametrize(("name", "operation"), [*operations()], ids=lambda given: str(given)[:40])
def test_every_operation_tells_what_can_go_wrong(name: str, operation: Any) -> None:
    """An error has the one shape, its word among those that the status can have."""
    errors = {s: r for s, r in operation["responses"].items() if int(s) >= 400}
    own_shape = {"503"} if name in {"get_health", "get_readiness"} else set()

    assert "500" in errors
    for status in errors.keys() - own_shape:
        schema = errors[status]["content"]["application/json"]["schema"]
        reference, words = schema["allOf"]
        assert reference == {"$ref": "#/components/schemas/Error"}
        assert words["properties"]["code"]["enum"]


def test_every_parameter_and_field_that_is_sent_says_what_it_is_for() -> None:
    """Nobody has to guess."""
    silent = [
        f"{name}: {parameter['name']}"
        for name, operation in operations()
        for parameter in operation["parameters"]
        if "$ref" not in parameter and not parameter.get("description")
    ] + [
        f"{name}: {field}"
        for name, schema in DOCUMENT["components"]["schemas"].items()
        for field, described in schema.get("properties", {}).items()
        if not ({"description", "$ref", "items"} & described.keys())
    ]

    assert silent == []


async def _handler() -> Any:
    """Serves nothing."""


class Thing(TypedDict):
    """A thing."""

    name: Annotated[str, Field(description="Its name.", examples=["it"])]
    size: Annotated[int | None, Field(description="Its size.", examples=[None])]


def _document(**fields: Any) -> Any:
    route = Route(
        method="POST",
        path="/things/{id}",
        handler=_handler,
        operation="make_thing",
        tag=Tag.OPERATION,
        summary="Make a thing",
        names={"id": shapes.SessionId},
        **({"answers": {201: Thing}} | fields),
    )
    return build_document([route], "1")["paths"]["/things/{id}"]["post"]


def test_a_route_is_described_by_its_row() -> None:
    """Status, shape, example and headers come from the table."""
    made = _document(is_conditional=True, is_keyed=True)["responses"]

    assert made["201"]["content"]["application/json"] == {
        "schema": {"$ref": "#/components/schemas/Thing"},
        "examples": {"Thing": {"value": {"name": "it", "size": None}}},
    }
    assert [*made["201"]["headers"]] == ["X-Request-ID", "Idempotent-Replayed"]
    assert [*made["304"]["headers"]] == ["X-Request-ID", "ETag"]
    assert "content" not in made["304"]


def test_errors_are_described_by_their_classes() -> None:
    """Status, word, sentence and whether another try may help."""
    responses = _document(errors=(Conflict, InsufficientFunds), is_keyed=True)["responses"]
    conflict = responses["409"]["content"]["application/json"]

    assert [*responses] == ["201", "400", "402", "409", "500", "503"]
    assert responses["402"]["description"] == InsufficientFunds.__doc__
    assert conflict["schema"]["allOf"][1] == {
        "properties": {"code": {"enum": ["conflict", "idempotency_mismatch"]}}
    }
    assert conflict["examples"]["Conflict"]["value"]["error"] == Conflict.__doc__


def test_errors_with_one_word_are_described_in_the_order_of_their_names() -> None:
    """The document is the same in every process: the order of a set is not."""
    conflicts = tuple(type(f"Conflict{letter}", (Conflict,), {}) for letter in "HGFEDCBA")
    described = _document(errors=conflicts)["responses"]["409"]

    names = [*described["content"]["application/json"]["examples"]]
    assert names == [f"Conflict{letter}" for letter in "ABCDEFGH"]


@pytest.mark.parametrize(
    ("status", "header"),
    [("201", "Idempotent-Replayed"), ("202", "Preference-Applied"), ("503", "Retry-After")],
)
def test_the_headers_of_an_answer_are_described(status: str, header: str) -> None:
    """Where the route can give them, and nowhere else."""
    creation, costs = (
        api_document()["paths"][path][method]["responses"]
        for path, method in (("/api/v1/sessions", "post"), ("/api/v1/costs", "get"))
    )

    assert header in creation[status]["headers"]
    assert header not in creation["400"]["headers"]
    assert not any(header in answer["headers"] for answer in costs.values())


def test_a_shape_without_an_example_is_refused_with_its_place() -> None:
    """The document cannot be built before the field has an example."""

    class Silent(TypedDict):
        """A thing."""

        thing: Annotated[list[int], Field(description="What?")]

    components = schemas_of([("it", "serialization", Silent)]).components

    with pytest.raises(ExampleMissing, match=r"^Silent\.thing\[\] has no example"):
        example_of(components["Silent"], components, "Silent")


def test_shapes_are_closed_money_is_a_number_and_unknown_is_null() -> None:
    """The three habits of the API that pydantic alone does not have."""
    offer = DOCUMENT["components"]["schemas"]["Offer"]

    assert offer["additionalProperties"] is False
    assert offer["properties"]["price_per_hour"]["type"] == "number"
    assert offer["properties"]["machine_id"]["type"] == ["string", "null"]
    assert offer["properties"]["fetched_at"]["format"] == "date-time"


@pytest.mark.parametrize("options", [(), ("-o", "json")], ids=" ".join)
def test_the_command_prints_the_document(options: tuple[str, ...]) -> None:
    """Without a broker, and nothing else on stdout."""
    result = gpu_broker("openapi", *options)

    assert result.exit_code == 0
    assert json.loads(result.stdout) == DOCUMENT
