"""What is no HTTP, or does not come to its end, is refused in the one shape of errors."""

from __future__ import annotations

import pytest

from broker.api import http
from tests.service.api.asking import assert_refused, request, send
from tests.service.conftest import Broker

pytestmark = pytest.mark.asyncio(loop_scope="module")

SESSIONS = "/api/v1/sessions"
CHUNKED = "Transfer-Encoding: chunked"
JSON = "Content-Type: application/json"

NO_HTTP = {
    "a line of text": b"hello world\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "no target": b"GET  HTTP/1.1\r\nHost: x\r\n\r\n",
    "a target that is no path": b"GET sessions HTTP/1.1\r\nHost: x\r\n\r\n",
    "a target that is a star": b"GET * HTTP/1.1\r\nHost: x\r\n\r\n",
    "a target that is no URL": b"GET http://[bad/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "a space in the target": b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
    "raw bytes in the target": b"GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n",
    "no Host": b"GET /health HTTP/1.1\r\n\r\n",
    "a header without a name": b"GET /health HTTP/1.1\r\nHost: x\r\n: x\r\n\r\n",
    "a space in a name": b"GET /health HTTP/1.1\r\nHost: x\r\nX Y: x\r\n\r\n",
    "a NUL in a header": b"GET /health HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
    "a header on two lines": b"GET /health HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n",
    "a target that is too long": request("GET", "/" + "a" * 70_000),
    "a header that is too long": request("GET", "/health", b"", "X: " + "a" * 70_000),
    "too many headers": request("GET", "/health", b"", *(f"X{n}: a" for n in range(1000))),
    "two lengths": request("POST", SESSIONS, b"{}", "Content-Length: 3"),
    "a length that is none": request("POST", SESSIONS, b"", "Content-Length: x"),
    "a length below nothing": request("POST", SESSIONS, b"", "Content-Length: -1"),
    "a length beside chunks": request("POST", SESSIONS, b"{}", CHUNKED),
    "an unknown transfer coding": request("POST", SESSIONS, b"", "Transfer-Encoding: bogus"),
    "chunks that are none": request("POST", SESSIONS, b"", JSON, CHUNKED) + b"zz\r\n{}\r\n",
}


@pytest.mark.parametrize("sent", NO_HTTP.values(), ids=NO_HTTP)
async def test_what_is_no_http_is_refused_in_the_same_shape(refusing: Broker, sent: bytes) -> None:
    """The connection is closed; nothing of what was sent is repeated."""
    answer = await send(refusing.url, sent)

    assert answer.status in {400, 405}
    code = "validation_error" if answer.status == 400 else "method_not_allowed"
    assert_refused(answer, answer.status, code)
    assert len(answer.raw) < 300


@pytest.mark.parametrize("rest", [b"zz\r\n", b"2\r\n{"], ids=["broken", "missing"])
async def test_a_body_that_does_not_come_to_its_end_is_refused(
    refusing: Broker, rest: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request was read and its body is awaited, but not for ever."""
    monkeypatch.setattr(http, "BODY_PATIENCE", 0.1)
    head = request("POST", SESSIONS, b"", JSON, CHUNKED, "Expect: 100-continue")
    answer = await send(refusing.url, head, b"2\r\n{}\r\n", rest)

    assert_refused(answer, 400, "validation_error")
    assert "did not arrive whole" in answer.body["error"]
