"""JSON Schema of what is sent and answered, from the types that validate and present."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

Schema = dict[str, Any]
"""A JSON Schema, or another part of the document: it is foreign data by definition."""

Mode = Literal["validation", "serialization"]
PLACE = "#/components/schemas/"


class _Generator(GenerateJsonSchema):
    """Pydantic's generator, told how this API writes JSON."""

    def typed_dict_schema(self, schema: core_schema.TypedDictSchema) -> JsonSchemaValue:
        """A shape has its fields and no others."""
        return {**super().typed_dict_schema(schema), "additionalProperties": False}

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        """Money is a number, never a string."""
        bounds = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum"}
        given: dict[str, Any] = {name: schema.get(key) for key, name in bounds.items()}
        numbers = {name: float(bound) for name, bound in given.items() if bound is not None}
        return {"type": "number", **numbers}

    def date_schema(self, schema: core_schema.DateSchema) -> JsonSchemaValue:  # noqa: ARG002
        """The bounds of a day have no words in JSON Schema."""
        return {"type": "string", "format": "date"}

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        """Keys that have a pattern must be so."""
        described = super().dict_schema(schema)
        closed = {"additionalProperties": False} if "patternProperties" in described else {}
        return {**described, **closed}

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """`type: [string, "null"]` where that is all there is to say."""
        inner = self.generate_inner(schema["schema"])
        if isinstance(inner.get("type"), str) and "enum" not in inner:
            return {**inner, "type": [inner["type"], "null"]}
        return self.get_union_of_schemas([inner, {"type": "null"}])

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002
        """A field's name is title enough."""
        return False


@dataclass(frozen=True, slots=True)
class Schemas:
    """The schemas of all types that the document names."""

    components: Mapping[str, Schema]
    """By the name that references use."""
    of: Mapping[str, Schema]
    """By the key that was given."""


def schemas_of(types: Iterable[tuple[str, Mode, Any]]) -> Schemas:
    """The schemas of types, each given with a key and as what is sent or what is answered."""
    inputs = [(key, mode, TypeAdapter[Any](kind)) for key, mode, kind in types]
    found, definitions = TypeAdapter.json_schemas(
        inputs, ref_template=PLACE + "{model}", schema_generator=_Generator
    )
    return Schemas(
        components=definitions.get("$defs", {}),
        of={key: schema for (key, _), schema in found.items()},
    )
