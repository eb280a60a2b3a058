"""JSON from foreign hands, as values that can be written again. Pure."""

from __future__ import annotations

import json
import re

_HALF = re.compile(r"[\ud800-\udfff]")
"""Half of a character: JSON can name it, and no text can hold it."""


def parse_json(text: str) -> object:
    """The value, with question marks for half characters; raises ValueError where it is none."""
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return _whole(value) if "\\ud" in text.lower() else value


def _whole(value: object) -> object:
    match value:
        case str():
            return _HALF.sub("?", value)
        case list():
            return [_whole(item) for item in value]
        case dict():
            return {_HALF.sub("?", str(name)): _whole(item) for name, item in value.items()}
        case _:
            return value
