"""The options of `rent` are the fields of the API's request."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

import click
import pytest

from broker.api.models import SessionCreate
from broker.app import api_document
from broker.cli.request_fields import FIELDS, Kind, parse_request
from tests.unit.cli_commands import PRINTING, command_of
from tests.unit.cli_stub import PRIVATE_KEY, SESSION_ID, StubApi, gpu_broker

_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFake me@here"


def _json_types(annotation: Any) -> set[str]:
    """The JSON types of a model's field: its schema, `null` and references resolved."""
    schema = SessionCreate.model_json_schema()
    described = schema["properties"][annotation]
    options = described.get("anyOf", [described])
    return {option["type"] for option in options if "type" in option} - {"null"}


def test_every_field_of_the_api_has_an_option_and_every_option_a_field() -> None:
    """The table of options stands apart from the model: neither may know more than the other."""
    assert {field.name for field in FIELDS} == set(SessionCreate.model_fields)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_an_option_has_the_type_of_its_field(field: Any) -> None:
    """What an option sends is of the JSON type that the API takes."""
    expected = {
        Kind.TEXT: "string",
        Kind.INTEGER: "integer",
        Kind.NUMBER: "number",
        Kind.FLAG: "boolean",
        Kind.INTEGERS: "array",
        Kind.PAIRS: "object",
    }
    if not field.choices:
        assert expected[field.kind] in _json_types(field.name)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_an_option_offers_exactly_the_words_of_its_field(field: Any) -> None:
    """A closed list of words is the same on both sides."""
    annotation = SessionCreate.model_fields[field.name].annotation
    candidates = [annotation, *get_args(annotation)]
    words = [
        tuple(member.value for member in kind)
        for kind in candidates
        if isinstance(kind, type) and issubclass(kind, StrEnum)
    ]

    assert field.choices == (words[0] if words else ())


@pytest.mark.parametrize(
    ("request_", "arguments"),
    [(request, words) for request, words in PRINTING if request.startswith("GET ")],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_filter_of_the_api_is_an_option(request_: str, arguments: tuple[str, ...]) -> None:
    """Whatever can be asked of a list over HTTP can be asked for on the command line."""
    path = request_.removeprefix("GET ")
    document = api_document()["paths"]
    fitting = [name for name in document if re.fullmatch(re.sub(r"{\w+}", "[^/]+", name), path)]
    asked = document[min(fitting, key=lambda name: name.count("{"))]["get"].get("parameters", [])
    filters = {parameter["name"] for parameter in asked if parameter.get("in") == "query"}
    options = {name.lstrip("-") for option in command_of(arguments).params for name in option.opts}

    assert {name.replace("_", "-") for name in filters} - options == set()


def test_nothing_given_asks_for_the_cheapest_for_one_hour() -> None:
    """The defaults: the login name, an llm, one hour, no criteria."""
    assert parse_request({}, consumer="ada") == {
        "consumer_id": "ada",
        "workload_type": "llm",
        "reservation_hours": 1,
    }


def test_what_was_given_is_sent_and_nothing_else() -> None:
    """Options that were not given stay away, so that the API's defaults hold."""
    options = {
        "consumer_id": "team",
        "gpu_type": "RTX 4090",
        "max_price": 0.5,
        "reservation_minutes": 30,
        "auto_retry": False,
        "exposed_ports": (8000, 9000),
        "env": ("A=1", "B=x=y"),
        "labels": (),
        "name": None,
    }

    assert parse_request(options, consumer="ada") == {
        "consumer_id": "team",
        "workload_type": "llm",
        "gpu_type": "RTX 4090",
        "max_price": 0.5,
        "reservation_minutes": 30,
        "auto_retry": False,
        "exposed_ports": [8000, 9000],
        "env": {"A": "1", "B": "x=y"},
    }


def test_a_request_made_of_options_is_valid_for_the_api() -> None:
    """The API takes what the command line makes."""
    made = parse_request({"gpu_type": "A100", "env": ("A=1",)}, consumer="ada")

    assert SessionCreate.model_validate(made).env == {"A": "1"}


@pytest.mark.parametrize("text", ["A", "=1", ""])
def test_a_variable_without_a_name_or_a_value_is_wrong_usage(text: str) -> None:
    """KEY=VALUE, and nothing that only looks like it."""
    with pytest.raises(click.UsageError, match="KEY=VALUE"):
        parse_request({"env": (text,)}, consumer="ada")


def test_a_public_key_may_be_given_as_text_or_as_its_file(tmp_path: Path) -> None:
    """Both send the key itself."""
    file = tmp_path / "id_ed25519.pub"
    file.write_text(f"{_KEY}\n")

    as_text = parse_request({"ssh_public_key": _KEY}, consumer="ada")
    as_file = parse_request({"ssh_public_key": str(file)}, consumer="ada")

    assert as_text["ssh_public_key"] == _KEY
    assert as_file == as_text


def test_a_public_key_that_is_neither_is_wrong_usage(tmp_path: Path) -> None:
    """A mistyped file name must not travel as a key."""
    with pytest.raises(click.UsageError, match="neither"):
        parse_request({"ssh_public_key": str(tmp_path / "missing.pub")}, consumer="ada")


@pytest.mark.parametrize("command", [("rent",), ("sessions", "rekey", SESSION_ID)], ids=" ".join)
@pytest.mark.parametrize("is_a_file", [True, False], ids=["in a file", "as it is"])
def test_a_private_key_is_never_sent_nor_shown(
    api: StubApi, tmp_path: Path, command: tuple[str, ...], is_a_file: bool
) -> None:
    """Whoever leaves out `.pub` has told nobody the secret."""
    (tmp_path / "id").write_text(PRIVATE_KEY)

    given = str(tmp_path / "id") if is_a_file else PRIVATE_KEY
    result = gpu_broker(*command, f"--ssh-public-key={given}")

    assert (result.exit_code, result.stdout, api.asked) == (2, "", [])
    assert ".pub" in result.stderr
    assert "not a real one" not in result.stderr
