"""The broker's HTTP API as the command line uses it.

    client = Client.from_environment()
    answer = client.get("/api/v1/inventory", gpu_type="RTX 4090")
    answer.body["offers"], answer.raw

No call is ever repeated: a lost answer to a rental must not become a second machine.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from broker import __version__
from broker.cli.exits import AnswerLost, BrokerUnreachable, CommandFailed, WronglySetUp

DEFAULT_URL = "http://127.0.0.1:8080"
_LONGEST_ANSWER_SECONDS = 120.0
"""The API answers within 30 s; more is for a machine under load."""
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})

Body = dict[str, Any]
"""A JSON object as the API sends it."""


class RequestFailed(CommandFailed):
    """The broker answered that it will not, or cannot."""

    def __init__(self, status: int, body: Body) -> None:
        super().__init__(_explain(status, body))
        self.status = status
        self.body = body

    @property
    def code(self) -> str | None:
        """The API's word for what went wrong, for example `no_offer_fits`."""
        return self.body.get("code")

    @property
    def may_pass(self) -> bool:
        """Whether the very same request may be granted a little later."""
        return self.code == "conflict" and bool(self.body.get("retry_suggested"))


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API answered: decoded, and byte for byte."""

    status: int
    body: Body = field(repr=False)
    raw: bytes = field(repr=False)


class Client:
    """Speaks to the broker at `url`; raises RequestFailed and BrokerUnreachable."""

    def __init__(self, url: str, patience: float = _LONGEST_ANSWER_SECONDS) -> None:
        self.url = _checked(url)
        self._patience = patience

    @classmethod
    def from_environment(cls, patience: float = _LONGEST_ANSWER_SECONDS) -> Client:
        """The broker at GPU_BROKER_URL; raises WronglySetUp where that is no http URL.

        `patience`: how many seconds an answer may take.
        """
        return cls(os.environ.get("GPU_BROKER_URL") or DEFAULT_URL, patience)

    def get(self, path: str, **query: object) -> Answer:
        return self._call("GET", path + _query_string(query))

    def post(
        self,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        idempotency_key: str | None = None,
        **query: object,
    ) -> Answer:
        """Ask for something to be done; with a key it is done once, however often it is asked."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        path += _query_string(query)
        return self._call("POST", path, json.dumps(body or {}).encode(), headers)

    def delete(self, path: str) -> Answer:
        return self._call("DELETE", path)

    def get_whatever_status(self, path: str) -> Answer:
        """Like `get` where a refusal is an answer too, as with /health while starting."""
        try:
            return self.get(path)
        except RequestFailed as refusal:
            return Answer(refusal.status, refusal.body, b"")

    def _call(
        self,
        method: str,
        path: str,
        sent: bytes | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> Answer:
        from urllib.error import URLError  # noqa: PLC0415 - keeps `--help` quick

        try:
            status, raw = self._exchange(method, path, sent, headers)
        except URLError as error:  # while connecting and sending: nothing has been asked
            raise BrokerUnreachable(self._unreachable(error)) from error
        except TimeoutError as error:
            raise AnswerLost(f"The broker at {self.url} does not answer in time.") from error
        except (OSError, HTTPException) as error:
            why = str(error) or type(error).__name__
            raise AnswerLost(f"The answer of the broker at {self.url} was lost ({why}).") from error
        body = self._decode(raw)
        if status >= 400:  # noqa: PLR2004
            raise RequestFailed(status, body)
        return Answer(status, body, raw)

    def _exchange(
        self, method: str, path: str, sent: bytes | None, more: Mapping[str, str]
    ) -> tuple[int, bytes]:
        from urllib.error import HTTPError  # noqa: PLC0415 - keeps `--help` quick
        from urllib.request import Request  # noqa: PLC0415

        agent = f"gpu-broker/{__version__}"
        headers = {"Accept": "application/json", "User-Agent": agent, **more}
        if sent is not None:
            headers["Content-Type"] = "application/json"
        request = Request(self.url + path, sent, headers, method=method)  # noqa: S310
        try:
            with _opener(self.url).open(request, timeout=self._patience) as response:
                return response.status, response.read()
        except HTTPError as refusal:
            with refusal:
                return refusal.code, refusal.read()

    def _unreachable(self, error: Exception) -> str:
        why = getattr(error, "reason", None) or error
        return (
            f"No broker can be reached at {self.url} ({str(why) or type(why).__name__}). "
            "Start one with `gpu-broker serve`, or set GPU_BROKER_URL."
        )

    def _decode(self, raw: bytes) -> Body:
        try:
            body = json.loads(raw)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise AnswerLost(
                f"What answers at {self.url} is not a gpu-broker. Is GPU_BROKER_URL right?"
            )
        return body


def path_of(*parts: str) -> str:
    """The path of a resource under /api/v1, every part safely quoted."""
    return "/api/v1/" + "/".join(quote(part, safe="") for part in parts)


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise WronglySetUp(f"GPU_BROKER_URL must look like {DEFAULT_URL}, not {url!r}.")
    return url.rstrip("/")


def _opener(url: str) -> Any:
    """A proxy that is meant for the world must not be asked for this very machine."""
    from urllib.request import ProxyHandler, build_opener  # noqa: PLC0415

    host = urlsplit(url).hostname or ""
    is_here = host in ("localhost", "::1") or host.startswith("127.")
    return build_opener(ProxyHandler({})) if is_here else build_opener()


def _query_string(query: Mapping[str, object]) -> str:
    given = {name: _query_value(value) for name, value in query.items() if value is not None}
    return f"?{urlencode(given)}" if given else ""


def _query_value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _explain(status: int, body: Body) -> str:
    """One line: what happened, which fields are wrong, and how to find it in the broker's log."""
    text = " ".join(str(body.get("error") or f"The broker answered {status}.").split())
    details = body.get("details")
    if isinstance(details, Sequence) and not isinstance(details, str):
        wrong = [f"{item.get('field')} {item.get('message')}" for item in details]
        text += f" [{'; '.join(wrong)}]" if wrong else ""
    named = [str(body[key]) for key in ("code", "request_id") if body.get(key)]
    return f"{text} ({', '.join([str(status), *named])})"
