"""An example of a schema, put together from the examples of its parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from broker.api.schemas import PLACE, Schema


class ExampleMissing(ValueError):
    """A part of a shape has neither an example nor parts that have."""


def example_of(schema: Schema, components: Mapping[str, Schema], path: str = "") -> Any:
    """A value that the schema takes; raises ExampleMissing with the path of what lacks one."""
    if "examples" in schema:
        return schema["examples"][0]
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(PLACE)
        return example_of(components[name], components, path or name)
    if "anyOf" in schema:
        return example_of(schema["anyOf"][0], components, path)
    if "properties" in schema:
        return {
            name: example_of(part, components, f"{path}.{name}")
            for name, part in schema["properties"].items()
            if name in schema.get("required", ())
        }
    if "items" in schema:
        return [example_of(schema["items"], components, f"{path}[]")]
    if isinstance(schema.get("additionalProperties"), dict):
        return {"example": example_of(schema["additionalProperties"], components, f"{path}.*")}
    if "const" in schema:
        return schema["const"]
    raise ExampleMissing(f"{path} has no example: give it one with Field(examples=[...]).")
