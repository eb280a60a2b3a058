"""One request to a marketplace: asked once, bounded, and told apart when it fails."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest

from providers.errors import BadResponse
from providers.http import HttpClient, NotSent, ReplyLost
from tests.ill_server import Behaviour, answers, drips, floods, hangs_up, ill_server, says_nothing

SOON = timedelta(milliseconds=300)
LATER = timedelta(seconds=30)
SECRET = "key-of-the-account"

Open = Callable[[str], HttpClient]


@pytest.fixture
async def open_client() -> AsyncIterator[Open]:
    """Clients of any address, with a credential."""
    opened: list[HttpClient] = []

    def opens(url: str) -> HttpClient:
        opened.append(HttpClient(url, {"Authorization": SECRET}))
        return opened[-1]

    yield opens
    for client in opened:
        await client.close()


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
async def test_a_request_whose_reply_is_lost_was_sent_once(open_client: Open, method: str) -> None:
    """Also where an earlier answer had left a connection that could be used again."""
    async with ill_server(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")) as well:
        client = open_client(well.url)
        assert (await client.request(method, "/", within=LATER)).json() == {}
    async with ill_server(hangs_up) as ill:
        client = open_client(ill.url)
        for n in (1, 2):
            with pytest.raises(ReplyLost):
                await client.request(method, "/asks/1/", within=LATER, body={"disk": 50})
            assert len(ill.requests) == n


@pytest.mark.parametrize("behaviour", [says_nothing, drips])
async def test_an_answer_that_does_not_end_is_waited_for_no_longer_than_told(
    open_client: Open, behaviour: Behaviour
) -> None:
    """Bytes that come one by one make no difference."""
    async with ill_server(behaviour) as ill:
        with pytest.raises(ReplyLost, match="within"):
            await open_client(ill.url).request("GET", "/", within=SOON)


async def test_an_answer_that_is_too_large_is_not_read(open_client: Open) -> None:
    """It is no answer."""
    async with ill_server(floods) as ill:
        with pytest.raises(BadResponse, match="larger"):
            await open_client(ill.url).request("GET", "/", within=LATER)


async def test_nobody_at_the_address_is_told_from_a_lost_reply(open_client: Open) -> None:
    """Nothing can have happened there."""
    async with ill_server(hangs_up) as gone:
        pass
    for url in (gone.url, "http://no-such-host.invalid", "http://127.0.0.1:99999"):
        with pytest.raises(NotSent) as caught:
            await open_client(url).request("PUT", "/", within=LATER)
        assert SECRET not in f"{caught.value} {caught.value.__cause__!r}"


async def test_a_redirection_is_not_followed(open_client: Open) -> None:
    """The credential would go where it leads."""
    async with ill_server(hangs_up) as elsewhere:
        moved = b"HTTP/1.1 308 Moved\r\nLocation: %s/\r\nContent-Length: 0\r\n\r\n"
        async with ill_server(answers(moved % elsewhere.url.encode())) as ill:
            answer = await open_client(ill.url).request("GET", "/", within=LATER)
    assert (answer.status, elsewhere.requests) == (308, [])
    assert not answer.is_success


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnone",
        b"SSH-2.0-OpenSSH_9.6\r\n",
    ],
)
async def test_an_answer_that_breaks_off_or_is_none_is_a_lost_reply(
    open_client: Open, answer: bytes
) -> None:
    """Whatever speaks at the address."""
    async with ill_server(answers(answer)) as ill:
        with pytest.raises(ReplyLost):
            await open_client(ill.url).request("PUT", "/", within=LATER)


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"offers": [', b"[" * 100_000])
async def test_what_is_no_json_is_a_bad_response(open_client: Open, body: bytes) -> None:
    """Whatever its status says."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with ill_server(answers(head + body)) as ill:
        answer = await open_client(ill.url).request("GET", "/", within=LATER)
    with pytest.raises(BadResponse):
        answer.json()


async def test_a_request_says_what_it_is_told_to(open_client: Open) -> None:
    """The path behind the address, the query, and the credential."""
    async with ill_server(answers(b"HTTP/1.1 204 No Content\r\n\r\n")) as ill:
        query = {"select_filters": "{}", "after_token": "a+b=="}
        await open_client(ill.url + "/").request("GET", "/v1/x/", within=LATER, query=query)
    line, *headers = ill.requests[0].decode().split("\r\n")
    assert line == "GET /v1/x/?select_filters=%7B%7D&after_token=a%2Bb%3D%3D HTTP/1.1"
    assert f"Authorization: {SECRET}" in headers
