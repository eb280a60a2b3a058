"""The official client, `vastai-sdk`: off the event loop, one attempt per call, bounded.

As it comes, it repeats every call up to three times, follows redirects, waits two minutes
for an answer of any size, and cannot be cancelled (docs/wire/vastai.md). Here it makes the
requests, and `_send` sends each of them once.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

from providers.errors import BadResponse, Unavailable
from providers.http import MEBIBYTE, Answer

if TYPE_CHECKING:
    import requests
    from vastai import VastAI

T = TypeVar("T")

_LONGEST_SILENCE = 10.0
"""Seconds without a byte after which nothing more is expected."""


def has_sdk() -> bool:
    """Whether the official client is installed."""
    return importlib.util.find_spec("vastai") is not None


class Sdk:
    """The official client of one account; every call answers with what came over the wire.

    All calls may be repeated, and raise `Unavailable` where no answer came `within` that
    time, and `BadResponse` where it is too large.
    """

    def __init__(self, api_key: str, url: str) -> None:
        self._api_key = api_key
        self._url = url.rstrip("/")

    async def prepare(self) -> None:
        """Import the official client, which takes a second or two."""
        await _in_a_thread(_import)

    async def destroy_instance(self, instance_id: int, *, within: timedelta) -> Answer:
        return await self._call(lambda sdk: sdk.destroy_instance(instance_id), within)

    async def attach_ssh(self, instance_id: int, public_key: str, *, within: timedelta) -> Answer:
        return await self._call(lambda sdk: sdk.attach_ssh(instance_id, public_key), within)

    async def detach_ssh(self, instance_id: int, key_id: str, *, within: timedelta) -> Answer:
        return await self._call(lambda sdk: sdk.detach_ssh(instance_id, key_id), within)

    async def search_templates(self, *, within: timedelta) -> Answer:
        most_bytes = 32 * MEBIBYTE
        return await self._call(lambda sdk: sdk.search_templates({}), within, most_bytes)

    async def show_user(self, *, within: timedelta) -> Answer:
        return await self._call(lambda sdk: sdk.show_user(), within)

    async def _call(
        self, use: Callable[[VastAI], object], within: timedelta, most_bytes: int = MEBIBYTE
    ) -> Answer:
        seconds = within.total_seconds()
        bounds = _Bounds(time.monotonic() + seconds, most_bytes)
        work = partial(_ask, self._api_key, self._url, use, bounds)
        try:
            async with asyncio.timeout(seconds):
                return await _in_a_thread(work)
        except TimeoutError as error:
            raise Unavailable(
                f"The marketplace's answer did not come within {seconds:g} s."
            ) from error


async def _in_a_thread(work: Callable[[], T]) -> T:
    """What `work` returns. The process may end without it, unlike with the threads of a pool."""
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(work())
        except BaseException as error:  # noqa: BLE001 (whoever waits is told)
            result.set_exception(error)

    # A future that runs cannot be cancelled: the thread sets its result, whoever still waits.
    result.set_running_or_notify_cancel()
    Thread(target=run, name="vastai", daemon=True).start()
    return await asyncio.wrap_future(result)


@dataclass(frozen=True, slots=True)
class _Bounds:
    """How long, and how much, is read."""

    deadline: float
    """Monotonic."""
    most_bytes: int


def _ask(api_key: str, url: str, use: Callable[[VastAI], object], bounds: _Bounds) -> Answer:
    """One call of the official client, in a thread."""
    # They come with the official client.
    import requests  # noqa: PLC0415
    import urllib3  # noqa: PLC0415

    answers: list[Answer] = []
    sdk = _import().VastAI(api_key, url, retry=1)
    sdk.client = _bounded_client(api_key, url, bounds, answers)
    try:
        use(sdk)
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        # The error's own words may quote the request, headers and all.
        raise Unavailable(f"The marketplace cannot be asked: {type(error).__name__}.") from error
    return answers[-1]


def _import() -> Any:
    """The official client. It logs to standard error by itself: what matters, our errors say."""
    import vastai  # noqa: PLC0415

    logging.getLogger("vastai").handlers = [logging.NullHandler()]
    return vastai


def _bounded_client(api_key: str, url: str, bounds: _Bounds, answers: list[Answer]) -> Any:
    """The official client's own client, sending by `_send` and adding what came to `answers`."""
    from vastai.api.client import VastClient  # noqa: PLC0415

    class BoundedClient(VastClient):  # type: ignore[misc]
        def _request(
            self, method: str, url: str, headers: Any, json_data: Any = None, **_: Any
        ) -> _Unread:
            answers.append(_send(method, url, headers, json_data, bounds))
            return _Unread()

    return BoundedClient(api_key, url, retry=1)


class _Unread:
    """What the official client gets to read: its errors would lose the body of the answer."""

    def raise_for_status(self) -> None:
        """Statuses are judged together with bodies, by us."""

    def json(self) -> dict[str, Any]:
        return {}


def _send(method: str, url: str, headers: Any, body: Any, bounds: _Bounds) -> Answer:
    """Send a request once, follow no redirect, and read no more than `bounds`."""
    import requests  # noqa: PLC0415

    timeout = min(_LONGEST_SILENCE, max(bounds.deadline - time.monotonic(), 0.1))
    with (
        requests.Session() as session,
        session.request(
            method,
            url,
            headers=headers,
            json=body,
            stream=True,
            allow_redirects=False,
            timeout=timeout,
        ) as response,
    ):
        text = _read(response, bounds).decode("utf-8", "replace")
        return Answer(response.status_code, response.headers, text)


def _read(response: requests.Response, bounds: _Bounds) -> bytes:
    data = bytearray()
    while chunk := response.raw.read1(decode_content=True):
        data += chunk
        if len(data) > bounds.most_bytes:
            most = bounds.most_bytes // MEBIBYTE
            raise BadResponse(f"The marketplace's answer is larger than {most} MB.")
        if time.monotonic() > bounds.deadline:
            raise Unavailable("The marketplace's answer does not come to an end.")
    if response.raw.length_remaining:
        raise Unavailable("The marketplace's answer broke off.")
    return bytes(data)
