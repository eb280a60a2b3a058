"""Who may call the simulated service, how often, and how it says no to the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from tests.vast_wire.answers import refuse
from tests.vast_wire.contracts import Contract
from tests.vast_wire.limits import Limiter
from tests.vast_wire.misfortunes import Word
from tests.vast_wire.operations import OPEN, OWN_MACHINE
from tests.vast_wire.refusals import Refused, bad_key, not_allowed
from tests.wire.answers import raw
from tests.wire.gate import Call, bearer_of
from tests.wire.misfortunes import Misfortune


class Admission:
    """The keys of the service, and the intervals between the calls of each."""

    def __init__(
        self, *, api_key: str, limiter: Limiter, by_key: Callable[[str], Contract | None]
    ) -> None:
        self._api_key = api_key
        self._limiter = limiter
        self._by_key = by_key

    def admit(self, request: web.Request, call: Call) -> None:
        """Let a call go on. Raises `Refused`."""
        self._authorise(request, call)
        now = asyncio.get_running_loop().time()
        threshold = self._limiter.admit(call.operation, _key_of(request), now)
        if threshold is not None:
            text = f"API requests too frequent: endpoint threshold={threshold}"
            raise _TooFrequent(text)

    def _authorise(self, request: web.Request, call: Call) -> None:
        """The account's key opens everything, an instance's key that instance."""
        if call.operation in OPEN and "Authorization" not in request.headers:
            return
        key = _key_of(request)
        if key == self._api_key or request.path.startswith("/results/"):
            return
        contract = self._by_key(key)
        if contract is None:
            raise bad_key()
        is_own = request.match_info.get("id") == str(contract.id)
        is_label = isinstance(call.body, dict) and "label" in call.body
        if call.operation not in OWN_MACHINE or not is_own or is_label:
            raise not_allowed()


class _TooFrequent(Refused):
    """The answer to a call that came too early is plain text."""

    def __init__(self, text: str) -> None:
        super().__init__(429, "rate_limit_exceeded", text)

    def response(self) -> web.Response:
        return web.Response(status=self.status, text=self.msg)


def _key_of(request: web.Request) -> str:
    return bearer_of(request) or request.query.get("api_key", "")


def answer(misfortune: Misfortune) -> web.Response | None:
    """What the service says for a word of its own that happens instead of a call."""
    match misfortune.word:
        case Word.ERROR:
            return refuse(misfortune.status or 500, "server_error", "Internal server error.")
        case Word.QUOTA:
            msg = "Daily search quota exceeded."
            return refuse(429, "search_quota_exceeded", misfortune.text or msg)
        case Word.BAD_KEY:
            return bad_key(misfortune.status or 401).response()
        case Word.NOT_ALLOWED:
            return not_allowed().response()
        case Word.DEPRECATED:
            msg = "This endpoint is deprecated."
            return refuse(410, "deprecated_endpoint", misfortune.text or msg)
        case Word.RATE_LIMITED:
            return raw(429, misfortune.text or TOO_FREQUENT[0])
    return None


TOO_FREQUENT = (
    "API requests too frequent",
    "API requests too frequent: endpoint threshold=4.5",
    '{"detail":"API requests too frequent endpoint threshold=1.0"}',
    (
        '{"message":"The action could not be performed because there were too many requests by the'
        " client.\\n\\nAPI requests too frequent: endpoint threshold=4.5*1.0\\n\\n"
        '","code":"429 Too Many Requests"}'
    ),
    '{"error":"rate_limit_exceeded","msg":"API requests too frequent"}',
)
"""The bodies in which the service has said that it was called too often."""
