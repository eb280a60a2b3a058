"""Sending bytes as they are, and what every refusal must look like."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from broker.api.routes import Resource, Route
from broker.app import web
from tests.waiting import PATIENCE

UNKNOWN_NAME = "sess-aaaaaaaaaaaa"
_INTERNAL = re.compile(
    r"Traceback|pydantic|aiohttp|sqlite|site-packages|\.py\b|<class|object at 0x|instance of"
    r"|datetime\.|timedelta\(|Decimal\("
)


@dataclass(frozen=True)
class Answer:
    """One answer, as it came over the wire."""

    status: int
    headers: Mapping[str, str]
    """By their names in lower case."""
    raw: bytes

    @property
    def body(self) -> Any:
        """The decoded body."""
        return json.loads(self.raw)

    @property
    def fields(self) -> list[str]:
        """The fields that it names."""
        return [detail["field"] for detail in self.body.get("details", [])]


def routes() -> list[Route]:
    """Every route that the broker has of its own."""
    assert web.build_application, "the modules of all routes are loaded"
    return [route for resource in Resource.__subclasses__() for route in resource.ROUTES]


def path_of(route: Route, name: str = UNKNOWN_NAME) -> str:
    """The path of a route, with a name in it that nothing has."""
    return re.sub(r"\{\w+\}", name, route.path)


def request(
    method: str,
    target: str | bytes,
    body: bytes = b"",
    *headers: str | bytes,
    content_type: str | None = "application/json",
) -> bytes:
    """The bytes of a request."""
    start = b" ".join([method.encode(), _bytes(target), b"HTTP/1.1"])
    lines = [start, b"Host: broker", b"Connection: close"]
    if body:
        lines.append(f"Content-Length: {len(body)}".encode())
    if body and content_type is not None:
        lines.append(f"Content-Type: {content_type}".encode())
    return b"\r\n".join([*lines, *map(_bytes, headers), b"", body])


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


async def send(url: str, *parts: bytes) -> Answer:
    """The final answer to these bytes, sent one part after the other.

    A first part that expects 100-continue gets it before the others are sent.
    """
    address = urlsplit(url)
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        try:
            for index, part in enumerate(parts):
                if index == 1 and b"100-continue" in parts[0]:
                    await reader.readuntil(b"\r\n\r\n")
                writer.write(part)
                await writer.drain()
            return await _answer(reader, has_body=not parts[0].startswith(b"HEAD "))
        finally:
            writer.close()


async def _answer(reader: asyncio.StreamReader, *, has_body: bool) -> Answer:
    status, headers = 100, dict[str, str]()
    while status == 100:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        status = int(first.split()[1])
        headers = {name.lower(): value for name, value in (one.split(": ", 1) for one in lines)}
    length = int(headers.get("content-length", 0)) if has_body else 0
    return Answer(status, headers, await reader.readexactly(length))


def assert_refused(answer: Answer, status: int, code: str, fields: Iterable[str] = ()) -> None:
    """An error has one shape, names these fields at least, and tells nothing internal."""
    body = answer.body
    assert (answer.status, body["code"]) == (status, code), answer
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.headers["x-request-id"] == body["request_id"]
    assert answer.headers["server"] == "gpu-broker", "and no version of what it is made of"
    assert body["error"]
    assert set(fields) <= set(answer.fields), answer
    assert all(set(detail) == {"field", "message"} for detail in body.get("details", []))
    assert all(detail["message"] for detail in body.get("details", []))
    assert _INTERNAL.search(answer.raw.decode()) is None, answer
