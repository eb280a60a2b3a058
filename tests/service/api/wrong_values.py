"""Values that a field must refuse, made from its JSON Schema: a new field has them at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

Schema = Mapping[str, Any]
Make = Callable[[Schema], object]
"""From the schema of a field to a value that is wrong there; None where there is none."""

LONG = "a" * 10_000


class Literal(str):
    """A value that stands in a body as it is written here."""

    __slots__ = ()


def encoded(values: Mapping[str, object]) -> bytes:
    """A JSON object."""
    fields = [f"{json.dumps(name)}: {_written(value)}" for name, value in values.items()]
    return f"{{{', '.join(fields)}}}".encode()


def _written(value: object) -> str:
    return value if isinstance(value, Literal) else json.dumps(value)


def fields_of(model: type[BaseModel]) -> dict[str, Schema]:
    """The JSON Schema of each field, without `null` and with references resolved."""
    schema = model.model_json_schema()
    definitions = schema.get("$defs", {})
    return {name: _plain(field, definitions) for name, field in schema["properties"].items()}


def _plain(field: Schema, definitions: Schema) -> Schema:
    options = [one for one in field.get("anyOf", [field]) if one.get("type") != "null"]
    if "$ref" in options[0]:
        return dict(definitions[options[0]["$ref"].rpartition("/")[2]])
    return dict(options[0])


def wrong(model: type[BaseModel], make: Make) -> dict[str, object]:
    """Every field of the model that this kind of value is wrong for, with the value."""
    made = {name: make(schema) for name, schema in fields_of(model).items()}
    return {name: value for name, value in made.items() if value is not None}


def is_number(schema: Schema) -> bool:
    """Whether the field takes numbers."""
    return schema["type"] in {"integer", "number"}


def is_text(schema: Schema) -> bool:
    """Whether the field takes texts that are not of a closed list."""
    return schema["type"] == "string" and "enum" not in schema and "format" not in schema


def is_line(schema: Schema) -> bool:
    """Whether the field takes texts of one line: no scripts, no keys."""
    return is_text(schema) and schema.get("maxLength", 0) < len(LONG)


def only(applies: Callable[[Schema], bool], value: object) -> Make:
    """This value, for such fields."""
    return lambda schema: value if applies(schema) else None


def everywhere(value: object) -> Make:
    """This value, for every field."""
    return lambda _: value


def another_type(schema: Schema) -> object:
    """A list, or an object where the field takes lists."""
    return {"x": 1} if schema["type"] == "array" else ["x"]


def too_much(schema: Schema) -> object:
    """The first value above the bounds."""
    match schema:
        case {"maximum": most}:
            return most + 1
        case {"maxLength": most}:
            return "a" * (most + 1)
        case {"maxItems": most}:
            return [80] * (most + 1)
        case {"maxProperties": most}:
            return {f"A{index}": "x" for index in range(most + 1)}
    return None


def too_little(schema: Schema) -> object:
    """The first value below the bounds."""
    match schema:
        case {"minimum": least}:
            return least - 1
        case {"exclusiveMinimum": least}:
            return least
        case {"minLength": 1}:
            return ""
    return None


IN_A_BODY: Mapping[str, Make] = {
    "another type": another_type,
    "a number as text": only(is_number, "1"),
    "a truth value": only(lambda schema: schema["type"] != "boolean", value=True),
    "a fraction of a whole": only(lambda schema: schema["type"] == "integer", 1.5),
    "too much": too_much,
    "too little": too_little,
    "NaN": everywhere(Literal("NaN")),
    "Infinity": everywhere(Literal("Infinity")),
    "-Infinity": everywhere(Literal("-Infinity")),
    "1e400": everywhere(Literal("1e400")),
    "-1": everywhere(-1),
    "10**400": everywhere(10**400),
    "more digits than Python reads": everywhere(Literal("9" * 5000)),
    "an unknown word": only(lambda schema: "enum" in schema, "no such word"),
    "10,000 characters": only(lambda schema: not is_text(schema) or is_line(schema), LONG),
    "a NUL": only(is_text, "a\0b"),
    "a control character": only(is_line, "a\x07b"),
    "a line end": only(is_line, "a\nb"),
    "half a character": only(is_text, "\ud800"),
}
"""What is wrong -> the value."""

IN_A_QUERY: Mapping[str, Make] = {
    "a word": only(lambda schema: not is_text(schema), "word"),
    "spaces around": only(is_number, " 1 "),
    "an underscore": only(is_number, "1_0"),
    "a sign": only(is_number, "+1"),
    "hexadecimal": only(is_number, "0x1"),
    "digits of another script": only(is_number, "\N{ARABIC-INDIC DIGIT ONE}"),
    "a fraction of a whole": only(lambda schema: schema["type"] == "integer", "1.0"),
    "NaN": only(is_number, "NaN"),
    "Infinity": only(is_number, "Infinity"),
    "1e400": only(is_number, "1e400"),
    "-1": only(lambda schema: not is_text(schema), "-1"),
    "more digits than Python reads": only(is_number, "9" * 5000),
    "too much": too_much,
    "too little": lambda schema: too_little(schema) if is_number(schema) else None,
    "a NUL": everywhere("a\0b"),
    "a control character": everywhere("a\x07b"),
    "a line end": everywhere("a\nb"),
}
"""What is wrong -> the text."""
