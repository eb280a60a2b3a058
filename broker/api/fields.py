"""The types of single fields that clients send, in bodies and in query strings."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, StrictStr
from pydantic.config import JsonDict

from broker.ssh.keys import parse_public_key

LONGEST_TEXT = 128
LONGEST_SCRIPT = 16_384
MOST_ENTRIES = 64

_WHOLE = re.compile(r"-?[0-9]+")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_TRUTH = {"true": True, "false": False}


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must hold printable characters only")
    return text


def _worded(text: str) -> str:
    if not text.strip():
        raise ValueError("must hold more than blanks")
    return text


def _script(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not hold a NUL character")
    return text


def _number(value: object) -> int | float:
    """A JSON number: neither a truth value nor a text that looks like one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number")  # noqa: TRY004 (pydantic reads ValueError)
    return value


def _few(value: object) -> object:
    """A list or an object that is worth being looked into: each wrong entry makes an error."""
    if isinstance(value, list | dict) and len(value) > MOST_ENTRIES:
        raise ValueError(f"must have at most {MOST_ENTRIES} entries")
    return value


def _spelled_whole(text: str) -> str:
    if _WHOLE.fullmatch(text) is None:
        raise ValueError("must be a whole number, in digits")
    return text


def _spelled_number(text: str) -> str:
    if _NUMBER.fullmatch(text) is None:
        raise ValueError("must be a number, such as 1 or 0.5")
    return text


def _spelled_truth(text: str) -> bool:
    value = _TRUTH.get(text.lower())
    if value is None:
        raise ValueError("must be true or false")
    return value


_PRINTABLE: JsonDict = {"pattern": r"^[^\u0000-\u001f\u007f-\u00a0\u00ad]*$"}
"""As far as a pattern that every language reads can say it: exact for Latin-1."""
_WORDED: JsonDict = {
    "pattern": (
        r"^[^\u0000-\u001f\u007f-\u00a0\u00ad]*[^\u0000-\u0020\u007f-\u00a0\u00ad]"
        r"[^\u0000-\u001f\u007f-\u00a0\u00ad]*$"
    )
}
"""The same, with something to read."""
_WITHOUT_NUL: JsonDict = {"pattern": r"^[^\u0000]*$"}

Text = Annotated[
    StrictStr,
    Field(min_length=1, max_length=LONGEST_TEXT, json_schema_extra=_PRINTABLE),
    AfterValidator(_printable),
]
LongText = Annotated[
    StrictStr,
    Field(min_length=1, max_length=1024, json_schema_extra=_PRINTABLE),
    AfterValidator(_printable),
]
Sentence = Annotated[
    StrictStr,
    Field(min_length=1, max_length=1024, json_schema_extra=_WORDED),
    AfterValidator(_printable),
    AfterValidator(_worded),
]
"""Something for a person to read."""
Name = Annotated[
    StrictStr,
    Field(min_length=1, max_length=255, json_schema_extra=_PRINTABLE),
    AfterValidator(_printable),
]
Script = Annotated[
    StrictStr,
    Field(min_length=1, max_length=LONGEST_SCRIPT, json_schema_extra=_WITHOUT_NUL),
    AfterValidator(_script),
]
Value = Annotated[
    StrictStr,
    Field(max_length=4096, json_schema_extra=_WITHOUT_NUL),
    AfterValidator(_script),
]
VariableName = Annotated[
    StrictStr, Field(max_length=LONGEST_TEXT, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
]
PublicKey = Annotated[StrictStr, Field(max_length=LONGEST_SCRIPT), AfterValidator(parse_public_key)]

FEW = BeforeValidator(_few)
"""At most `MOST_ENTRIES`, counted first."""

JSON_NUMBER = BeforeValidator(_number)
"""The number stands in a body. 2.0 is the whole number 2, as in JSON Schema."""

Price = Annotated[Decimal, Field(gt=0, le=10_000), JSON_NUMBER]
Fraction = Annotated[float, Field(ge=0, le=1), JSON_NUMBER]
Port = Annotated[int, Field(ge=1, le=65535), JSON_NUMBER]

SPELLED_WHOLE = BeforeValidator(_spelled_whole)
"""The whole number stands in a query string."""
SPELLED_NUMBER = BeforeValidator(_spelled_number)
"""The number stands in a query string."""

SpelledFraction = Annotated[float, Field(ge=0, le=1), SPELLED_NUMBER]
SpelledTruth = Annotated[bool, BeforeValidator(_spelled_truth)]
"""In a query string: true or false, in any case."""
