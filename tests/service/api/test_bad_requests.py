"""Requests that are wrong whatever they ask for: bodies, names, methods and headers."""

from __future__ import annotations

import gzip
import json
from urllib.parse import quote

import pytest

from broker.api.routes import Route
from tests.service.api.asking import (
    UNKNOWN_NAME,
    assert_refused,
    path_of,
    request,
    routes,
    send,
)
from tests.service.conftest import Broker

pytestmark = pytest.mark.asyncio(loop_scope="module")

SESSIONS = "/api/v1/sessions"
INVENTORY = "/api/v1/inventory"
EVERY_ROUTE = routes()
WITH_BODY = [route for route in EVERY_ROUTE if route.body is not None]
WITH_NAME = [route for route in EVERY_ROUTE if "{" in route.path]
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
MEGABYTE = 1_000_000
CHUNKED = "Transfer-Encoding: chunked"
JSON = "Content-Type: application/json"


def named(route: Route) -> str:
    """A route in the names of tests."""
    return f"{route.method} {route.path}"


# Bodies


GOOD_BODIES = {
    "extend_session": b'{"additional_hours": 1}',
    "hold_session": b'{"hours": 1, "reason": "nearly done"}',
}
"""Of the routes that are content with no empty one."""

NO_OBJECTS = {
    "a list": b"[]",
    "null": b"null",
    "a text": b'"text"',
    "a number": b"3",
    "a truth value": b"true",
    "NaN": b"NaN",
}
NO_JSON = {
    "cut": b'{"a": ',
    "spaces": b"  ",
    "two values": b"{}{}",
    "quotes of Python": b"{'a': 1}",
    "a comma too much": b'{"a": 1,}',
    "a comment": b"{} // no",
    "a NUL": b"\0",
    "bytes that are not UTF-8": b'{"a": "\xff"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "half a character as a name": b'{"\\ud800": 1}',
    "half a character as a name, twice": b'{"\\ud800": 1, "\\ud800": 1}',
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "a closed deep list": b"[" * 50_000 + b"]" * 50_000,
    "a control character in a text": b'{"a": "\x01"}',
}


@pytest.mark.parametrize("route", WITH_BODY, ids=named)
@pytest.mark.parametrize("body", NO_OBJECTS.values(), ids=NO_OBJECTS)
async def test_a_body_is_an_object(refusing: Broker, route: Route, body: bytes) -> None:
    """Where it is none, the body itself is named."""
    answer = await send(refusing.url, request(route.method, path_of(route), body))

    assert_refused(answer, 400, "validation_error", ["body"])


@pytest.mark.parametrize("route", WITH_BODY, ids=named)
@pytest.mark.parametrize("body", NO_JSON.values(), ids=NO_JSON)
async def test_a_body_is_json(refusing: Broker, route: Route, body: bytes) -> None:
    """In UTF-8, and not nested without end."""
    answer = await send(refusing.url, request(route.method, path_of(route), body))

    assert_refused(answer, 400, "validation_error")


async def test_a_mark_of_the_byte_order_is_read_over(refusing: Broker) -> None:
    """Some editors write one, and it says nothing."""
    answer = await send(refusing.url, request("POST", SESSIONS, b'\xef\xbb\xbf{"surprise": 1}'))

    assert_refused(answer, 400, "validation_error", ["surprise"])


@pytest.mark.parametrize(
    "content_type",
    [
        *(None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"),
        *("application/vnd.api+json", "application/json, text/plain", ";", "json", "a" * 10_000),
        *("application/json; charset=utf-16", "application/json; charset=bogus"),
    ],
)
@pytest.mark.parametrize("route", WITH_BODY, ids=named)
async def test_a_body_is_called_json(
    refusing: Broker, route: Route, content_type: str | None
) -> None:
    """By its content type, in UTF-8 where it names a character set."""
    asked = request(route.method, path_of(route), b"{}", content_type=content_type)

    assert_refused(await send(refusing.url, asked), 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type", ["APPLICATION/JSON", "application/json;charset=UTF-8", "application/json;"]
)
async def test_the_content_type_may_be_written_as_http_allows(
    refusing: Broker, content_type: str
) -> None:
    """In any case, and with the character set that JSON has anyway."""
    asked = request("POST", SESSIONS, b'{"surprise": 1}', content_type=content_type)

    assert_refused(await send(refusing.url, asked), 400, "validation_error", ["surprise"])


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "bogus", "gzip, identity"])
async def test_a_compressed_body_is_refused(refusing: Broker, coding: str) -> None:
    """Whether it is one or not, and however much would come out of it."""
    bomb = gzip.compress(b" " * 50 * MEGABYTE)
    asked = request("POST", SESSIONS, bomb, f"Content-Encoding: {coding}")

    assert_refused(await send(refusing.url, asked), 415, "unsupported_media_type")


@pytest.mark.parametrize("route", WITH_BODY, ids=named)
async def test_a_body_over_a_megabyte_is_too_large(refusing: Broker, route: Route) -> None:
    """To the byte; without waiting for it where its length is told; and in chunks too."""
    path, blank = path_of(route), b" " * MEGABYTE
    too_large = [
        [request(route.method, path, blank + b" ")],
        [request(route.method, path, b"", JSON, f"Content-Length: {MEGABYTE + 1}")],
        [request(route.method, path, b"", JSON, CHUNKED), b"f4241\r\n", blank + b" \r\n0\r\n\r\n"],
    ]
    for parts in too_large:
        assert_refused(await send(refusing.url, *parts), 413, "body_too_large")
    just_fits = request(route.method, path, blank)
    assert_refused(await send(refusing.url, just_fits), 400, "validation_error")


# Names in the path


NAMES = {
    "one that nothing has": UNKNOWN_NAME,
    "a slash": "a%2Fb",
    "a slash that is encoded twice": "a%252Fb",
    "a backslash": "%5C",
    "the folder above": "..",
    "the folder above, encoded": "%2e%2e",
    "a NUL": "%00",
    "a line end": "a%0d%0ab",
    "a space": "a%20b",
    "another script": quote("é漢"),
    "half a character": "%ED%A0%80",
    "no UTF-8": "%ff",
    "no percent-encoding": "%zz",
    "10,000 characters": "a" * 10_000,
    "another shape": "sess-",
    "SQL": quote("' OR 1=1 --"),
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("route", WITH_NAME, ids=named)
async def test_a_name_that_nothing_has_is_not_found(
    refusing: Broker, route: Route, name: str
) -> None:
    """Whatever it is made of; it is repeated only where such a thing could have it."""
    body = GOOD_BODIES.get(route.operation, b"")
    answer = await send(refusing.url, request(route.method, path_of(route, name), body))

    assert_refused(answer, 404, "resource_not_found")
    assert len(answer.raw) < 1000


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/api", "/api/v1", "/api/v1/", "/nothing", "/simulator", "/favicon.ico", "/%00"),
        *(f"{SESSIONS}/", f"/{SESSIONS}", "/api//v1/sessions", "/api/v1/sessions/../inventory"),
        *("/API/V1/SESSIONS", f"{SESSIONS}/{UNKNOWN_NAME}/nothing", "/api/v2/sessions"),
        f"{SESSIONS}/a/b",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "DELETE"])
async def test_a_path_that_no_route_has_is_not_found(
    refusing: Broker, method: str, path: str
) -> None:
    """A slash too many makes another path."""
    assert_refused(await send(refusing.url, request(method, path)), 404, "resource_not_found")


# Methods


@pytest.mark.parametrize("path", sorted({route.path for route in EVERY_ROUTE}))
async def test_a_wrong_method_is_told_with_the_right_ones(refusing: Broker, path: str) -> None:
    """OPTIONS too: no page of another origin is meant to call the broker."""
    known = {route.method for route in EVERY_ROUTE if route.path == path}
    allowed = known | ({"HEAD"} if "GET" in known else set())
    target = path.replace("{", "").replace("}", "")
    for method in sorted({*METHODS} - allowed):
        answer = await send(refusing.url, request(method, target))
        assert answer.headers["allow"].split(", ") == sorted(allowed), method
        if method != "HEAD":
            assert_refused(answer, 405, "method_not_allowed")


@pytest.mark.parametrize("route", [one for one in EVERY_ROUTE if one.method == "GET"], ids=named)
async def test_head_is_answered_as_get_is_without_the_body(refusing: Broker, route: Route) -> None:
    """The same status, type and length."""
    asked = await send(refusing.url, request("GET", path_of(route)))
    head = await send(refusing.url, request("HEAD", path_of(route)))

    assert (asked.status, b"") == (head.status, head.raw)
    assert asked.headers["content-type"] == head.headers["content-type"]
    assert head.headers["x-request-id"]


@pytest.mark.parametrize("method", ["FOO", "get", "PROPFIND2"])
async def test_a_method_that_nobody_knows_is_not_allowed(refusing: Broker, method: str) -> None:
    """In the same shape, with those that some route knows."""
    answer = await send(refusing.url, request(method, SESSIONS))

    assert_refused(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "DELETE, GET, HEAD, POST"


# Headers


@pytest.mark.parametrize(
    ("given", "is_taken"),
    [
        *(("trace-1.a_B", True), ("a" * 128, True)),
        *(("a" * 129, False), ("a b", False), ("a" * 10_000, False), ("", False), ("ä", False)),
        *(("a/b", False), ('"a"', False), ("a,b", False)),
    ],
)
async def test_the_id_of_a_request_is_taken_if_it_is_sane(
    refusing: Broker, given: str, is_taken: bool
) -> None:
    """Else it gets a new one; errors and good answers have one alike."""
    for path in ("/health", "/nothing"):
        answer = await send(refusing.url, request("GET", path, b"", f"X-Request-ID: {given}"))
        assert is_taken is (answer.headers["x-request-id"] == given)
        assert len(answer.headers["x-request-id"]) <= 128


@pytest.mark.parametrize(
    "tags", ['"', "W/", '"a",', "abc", '""', '"a" "b"', "W/x", "ä", ",", 'W/"' + "a" * 10_000]
)
async def test_tags_that_are_none_change_nothing(refusing: Broker, tags: str) -> None:
    """The list is answered whole."""
    headers = (f"If-None-Match: {tags}", "If-Modified-Since: never", "Range: bytes=-1")
    answer = await send(refusing.url, request("GET", f"{INVENTORY}?limit=1", b"", *headers))

    assert (200, 1) == (answer.status, answer.body["count"])


@pytest.mark.parametrize("key", ["", "a" * 129, "\xa0", "a" * 10_000])
async def test_an_idempotency_key_that_is_none_is_named(refusing: Broker, key: str) -> None:
    """Before anything is done."""
    body = b'{"consumer_id": "keyed", "workload_type": "llm", "reservation_hours": 1}'
    answer = await send(refusing.url, request("POST", SESSIONS, body, f"Idempotency-Key: {key}"))

    assert_refused(answer, 400, "validation_error", ["Idempotency-Key"])


@pytest.mark.parametrize(
    "path", [SESSIONS, *(f"{SESSIONS}/{UNKNOWN_NAME}/{verb}" for verb in ("extend", "rekey"))]
)
async def test_mistakes_in_all_parts_of_a_request_are_told_together(
    refusing: Broker, path: str
) -> None:
    """In the address, in the headers and in the body."""
    key = "Idempotency-Key: " + "a" * 129
    sent = request("POST", f"{path}?odd=1", b'{"surprise": 1}', key)
    answer = await send(refusing.url, sent)

    assert_refused(answer, 400, "validation_error", ["odd", "Idempotency-Key", "surprise"])


@pytest.mark.parametrize("hidden", ["%00", "%07", "%0A", "%2F", "%C2%A0"])
async def test_a_name_with_a_hidden_character_is_no_gpus(refusing: Broker, hidden: str) -> None:
    """Though GPUs are known by any spelling."""
    path = f"/api/v1/gpus/RTX{hidden}4090/availability"
    assert_refused(await send(refusing.url, request("GET", path)), 404, "resource_not_found")


async def test_a_thousand_cookies_are_nothing(refusing: Broker) -> None:
    """Nobody reads them."""
    cookies = "; ".join(f"c{index}=v" for index in range(1000))

    assert (
        200
        == (await send(refusing.url, request("GET", "/health", b"", f"Cookie: {cookies}"))).status
    )


async def test_a_client_may_wait_for_leave_to_send_its_body(refusing: Broker) -> None:
    """It gets it, and the answer after it; other expectations cannot be met."""
    body = b'{"surprise": 1}'
    waiting = request("POST", SESSIONS, body, "Expect: 100-continue")
    assert_refused(await send(refusing.url, waiting), 400, "validation_error", ["surprise"])
    for path in (SESSIONS, "/nothing"):
        asked = request("POST", path, body, "Expect: a-miracle")
        assert_refused(await send(refusing.url, asked), 417, "validation_error")


# The simulated market's own routes


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        *((b"{", {"body"}), (b"[]", {"fault"}), (b"[" * 100_000, {"body"}), (b"\xff", {"body"})),
        (b'{"fault": 1, "x": 1}', {"fault", "x"}),
        (b'{"fault": "slow", "operation": "list", "times": true}', {"times"}),
        (b'{"fault": "slow", "operation": "list", "times": ' + b"9" * 5000 + b"}", {"body"}),
        (b'{"fault": "slow", "operation": "list", "delay": NaN}', {"delay"}),
        (b'{"fault": "\\ud800", "operation": ["a"]}', {"fault", "operation"}),
    ],
)
async def test_a_misfortune_that_is_none_is_refused_in_the_same_shape(
    refusing: Broker, body: bytes, fields: set[str]
) -> None:
    """The routes of a provider answer as all others do."""
    answer = await send(refusing.url, request("POST", "/simulator/faults", body))

    assert_refused(answer, 400, "validation_error", fields)


async def test_nothing_of_all_this_has_done_anything(refusing: Broker) -> None:
    """No session, no misfortune, and the broker is well."""
    _, faults = await refusing.call("GET", "/simulator/faults")
    _, listed = await refusing.call("GET", SESSIONS)
    status, _ = await refusing.call("GET", "/health")

    assert (0, 0, 200) == (faults["count"], listed["total"], status), json.dumps(listed)
