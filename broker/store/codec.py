"""Structured values as JSON text, and back.

Reading ignores fields that it does not know and gives missing optional ones their
default, so that a row outlives the program that wrote it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from broker.model import Access, Confidential, Request
from providers.base import Offer

T = TypeVar("T")


class Codec(Generic[T]):
    """Encodes and decodes one kind of value."""

    def __init__(self, kind: type[T]) -> None:
        self._adapter = TypeAdapter(kind)

    def encode(self, value: T) -> str:
        return self._adapter.dump_json(value, fallback=_plain, warnings=False).decode()

    def decode(self, text: str | bytes) -> T:
        return self._adapter.validate_json(text)


def _plain(value: Any) -> object:
    """Any mapping may stand in a field, also one that JSON does not know."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no place in JSON")


REQUEST = Codec(Request)
OFFER = Codec(Offer)
ACCESS = Codec(Access)
CONFIDENTIAL = Codec(Confidential)
EVENT_DATA = Codec(dict[str, Any])
ANSWER = Codec(dict[str, Any])
