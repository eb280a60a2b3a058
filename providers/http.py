"""One HTTP request to a marketplace: bounded in time and size, never repeated, never redirected.

The client below repeats a PUT or a DELETE, unseen, where the connection drops, and a lost
reply would become a second rental: `_Once` keeps it from that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import aiohttp

from providers.errors import BadResponse, Unavailable
from providers.json_text import parse_json

MEBIBYTE = 1 << 20


class NotSent(Unavailable):
    """The marketplace cannot be reached."""


class ReplyLost(Unavailable):
    """The marketplace was asked, and its answer did not come."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    text: str = field(repr=False)

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300  # noqa: PLR2004

    def json(self) -> object:
        """The body as a value. Raises `BadResponse` where it is none."""
        try:
            return parse_json(self.text)
        except ValueError as error:
            raise BadResponse("The marketplace's answer is not JSON.") from error


class _Once:
    """Lets one request through, and answers its repetition with what became of it."""

    def __init__(self) -> None:
        self._failure: BaseException | None = None

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if self._failure is not None:
            raise self._failure
        try:
            return await handler(request)
        except BaseException as failure:
            self._failure = failure
            raise


class HttpClient:
    """The connection to one marketplace: its address, and what is sent with every request."""

    def __init__(self, base_url: str, headers: Mapping[str, str]) -> None:
        """`headers` may hold a credential: no error tells them."""
        self._base_url = base_url.rstrip("/")
        self._headers = dict(headers)
        self._session: aiohttp.ClientSession | None = None

    @classmethod
    def with_token(cls, base_url: str, token: str) -> HttpClient:
        """The connection of an account whose token goes with every request."""
        return cls(base_url, {"Authorization": f"Bearer {token}", "Accept": "application/json"})

    async def request(
        self,
        method: str,
        path: str,
        *,
        within: timedelta,
        query: Mapping[str, str] | None = None,
        body: object = None,
        form: Mapping[str, str] | None = None,
        most_bytes: int = MEBIBYTE,
    ) -> Answer:
        """Ask once. `path` begins with a slash; `body` is sent as JSON where it is not None.

        `form` is sent as a form; it may hold a credential.

        No more than `within` is waited for an answer of `most_bytes`.

        Raises `NotSent` where the request has had no effect for certain, `ReplyLost` where that
        is unknown, and `BadResponse` for an answer that is too large.
        """
        try:
            async with asyncio.timeout(within.total_seconds()):
                return await self._ask(method, path, query, body, form, most_bytes)
        except aiohttp.ClientConnectorError as error:
            raise NotSent(f"The marketplace cannot be reached: {error.strerror}.") from error
        except aiohttp.InvalidURL as error:
            raise NotSent("The marketplace's address is none.") from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            seconds = within.total_seconds()
            why = f"within {seconds:g} s" if isinstance(error, TimeoutError) else "whole"
            raise ReplyLost(f"The marketplace's answer did not come {why}.") from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: object,
        form: Mapping[str, str] | None,
        most_bytes: int,
    ) -> Answer:
        async with self._opened().request(
            method,
            self._base_url + path,
            params=query,
            json=body,
            data=form,
            headers=self._headers,
            allow_redirects=False,
            middlewares=[_Once()],
        ) as response:
            data = await _read(response, most_bytes)
            return Answer(response.status, response.headers, data.decode("utf-8", "replace"))

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(force_close=True, limit=0)
            # The environment may name a proxy: the vendors' own clients obey it as well.
            self._session = aiohttp.ClientSession(
                connector=connector, trust_env=True, timeout=aiohttp.ClientTimeout(total=None)
            )
        return self._session


async def _read(response: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    data = bytearray()
    async for chunk in response.content.iter_any():
        data += chunk
        if len(data) > most_bytes:
            most = most_bytes // MEBIBYTE
            raise BadResponse(f"The marketplace's answer is larger than {most} MB.")
    return bytes(data)
