"""The official client of Vast.ai: one attempt per call, bounded, and its answers whole."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

import pytest

from providers.errors import BadResponse, Unavailable
from providers.http import Answer
from providers.vastai.sdk import Sdk
from tests.ill_server import Behaviour, answers, drips, floods, hangs_up, ill_server, says_nothing

SOON = timedelta(milliseconds=300)
LATER = timedelta(seconds=30)
SECRET = "key-of-the-account"

Ask = Callable[[Sdk, timedelta], Awaitable[Answer]]
CALLS: dict[str, tuple[Ask, str]] = {
    "destroy": (lambda sdk, t: sdk.destroy_instance(7, within=t), "DELETE /api/v0/instances/7/"),
    "attach": (
        lambda sdk, t: sdk.attach_ssh(7, "ssh-x", within=t),
        "POST /api/v0/instances/7/ssh/",
    ),
    "detach": (
        lambda sdk, t: sdk.detach_ssh(7, "5", within=t),
        "DELETE /api/v0/instances/7/ssh/5/",
    ),
    "templates": (
        lambda sdk, t: sdk.search_templates(within=t),
        "GET /api/v0/template/?select_cols=%5B%22%2A%22%5D&select_filters=%7B%7D",
    ),
    "user": (lambda sdk, t: sdk.show_user(within=t), "GET /api/v0/users/current"),
}

Open = Callable[[str], Sdk]


@pytest.fixture
def open_sdk() -> Open:
    """The official client of any address."""
    return partial(Sdk, SECRET)


@pytest.mark.parametrize("name", CALLS)
async def test_every_call_asks_where_the_marketplace_listens(open_sdk: Open, name: str) -> None:
    """With the key of the account, whatever the environment says."""
    ask, line = CALLS[name]
    body = b'{"success": true}'
    async with ill_server(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n" + body)) as ill:
        answer = await ask(open_sdk(ill.url + "/"), LATER)
    first, *headers = ill.requests[0].decode().split("\r\n")
    assert first == f"{line} HTTP/1.1"
    assert f"Authorization: Bearer {SECRET}" in headers
    assert answer.json() == {"success": True}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("status", [404, 429, 502, 503])
async def test_a_refusal_is_told_once_with_its_words(
    open_sdk: Open, name: str, status: int
) -> None:
    """The official client would ask three times, and lose the body."""
    ask, _ = CALLS[name]
    text = json.dumps({"success": False, "error": "some_word"}).encode()
    head = b"HTTP/1.1 %d Refused\r\nRetry-After: 1\r\nContent-Length: %d\r\n\r\n"
    async with ill_server(answers(head % (status, len(text)) + text)) as ill:
        answer = await ask(open_sdk(ill.url), LATER)
    assert (answer.status, answer.json()) == (status, json.loads(text))
    assert answer.headers["Retry-After"] == "1"
    assert len(ill.requests) == 1


@pytest.mark.parametrize("name", CALLS)
async def test_a_connection_that_drops_is_not_dialled_again(open_sdk: Open, name: str) -> None:
    """Whoever called decides."""
    ask, _ = CALLS[name]
    async with ill_server(hangs_up) as ill:
        with pytest.raises(Unavailable) as caught:
            await ask(open_sdk(ill.url), LATER)
    assert len(ill.requests) == 1
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("behaviour", [says_nothing, drips])
async def test_a_call_ends_when_it_should(open_sdk: Open, behaviour: Behaviour) -> None:
    """Bytes that come one by one make no difference."""
    async with ill_server(behaviour) as ill:
        with pytest.raises(Unavailable):
            await open_sdk(ill.url).destroy_instance(7, within=SOON)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnone",
        b"SSH-2.0-OpenSSH_9.6\r\n",
    ],
)
async def test_an_answer_that_breaks_off_or_is_none_is_no_answer(
    open_sdk: Open, answer: bytes
) -> None:
    """Whatever speaks at the address."""
    async with ill_server(answers(answer)) as ill:
        with pytest.raises(Unavailable):
            await open_sdk(ill.url).show_user(within=LATER)


async def test_an_answer_that_is_too_large_is_not_read(open_sdk: Open) -> None:
    """It is no answer."""
    async with ill_server(floods) as ill:
        with pytest.raises(BadResponse, match="larger"):
            await open_sdk(ill.url).search_templates(within=LATER)


async def test_a_redirection_is_not_followed(open_sdk: Open) -> None:
    """The key would go where it leads."""
    async with ill_server(hangs_up) as elsewhere:
        moved = b"HTTP/1.1 308 Moved\r\nLocation: %s/\r\nContent-Length: 0\r\n\r\n"
        async with ill_server(answers(moved % elsewhere.url.encode())) as ill:
            answer = await open_sdk(ill.url).show_user(within=LATER)
    assert (answer.status, elsewhere.requests) == (308, [])


async def test_the_official_client_does_not_write_to_standard_error(open_sdk: Open) -> None:
    """Its log would go there by itself, past ours."""
    sdk = open_sdk("http://127.0.0.1:9")
    await sdk.prepare()
    handlers = logging.getLogger("vastai").handlers
    assert all(isinstance(handler, logging.NullHandler) for handler in handlers)
