"""A JSON text as a client wrote it: what it says, and which fields stand in it twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from broker.errors import ValidationFailed

_LONGEST_PATH = 128


@dataclass(frozen=True, slots=True)
class Document:
    """What a JSON text says. A field that stands twice has its last value."""

    value: object
    repeated: tuple[str, ...]
    """Path of every field that stands more than once."""


class _Object(dict[str, object]):
    """An object that remembers which names it was given more than once."""

    repeated: frozenset[str] = frozenset()


def parse_document(raw: bytes) -> Document:
    """The JSON text in UTF-8 that `raw` is; raises ValidationFailed.

    NaN and Infinity are let through as numbers, so that the field which holds them is named.
    """
    try:
        text = raw.decode("utf-8-sig")
        value = json.loads(text, object_pairs_hook=_object, parse_int=_whole)
    except RecursionError as error:
        raise ValidationFailed("The body is nested too deeply.") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ValidationFailed(f"The body is not valid JSON: {error.msg}, {where}.") from error
    except UnicodeError as error:
        raise ValidationFailed("The body is not valid UTF-8.") from error
    return Document(value, tuple(_repeated(value)))


def _object(pairs: Sequence[tuple[str, object]]) -> _Object:
    value = _Object(pairs)
    if not all(map(_is_unicode, value)):
        raise ValidationFailed("The name of a field holds half a character (a lone surrogate).")
    if len(value) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        value.repeated = frozenset(name for name, count in counts.items() if count > 1)
    return value


def _is_unicode(text: str) -> bool:
    """Whether it has no half of a character (a lone surrogate), which no text can hold."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _whole(digits: str) -> int | float:
    """The number; one too long for an int is out of every field's range, as a float is too."""
    try:
        return int(digits)
    except ValueError:
        return float(digits)


def _repeated(root: object) -> Iterator[str]:
    left = [("", root)]
    while left:
        path, value = left.pop()
        if isinstance(value, _Object):
            yield from (path + name for name in sorted(value.repeated))
        left += [
            (f"{path}{name}."[:_LONGEST_PATH], item)
            for name, item in _parts(value)
            if isinstance(item, dict | list)
        ]


def _parts(value: object) -> Iterable[tuple[object, object]]:
    if isinstance(value, dict):
        return value.items()
    return enumerate(value) if isinstance(value, list) else ()
