"""A Vast.ai account as a provider: thin calls; what they say is read in the pure modules.

The official client makes the calls that may be repeated and whose answers are small
(`providers.vastai.sdk`). These go out by our own client, and why:

    create     the official client sends some twenty nulls, which override a template, no
               `target_state`, and cannot tell a request that was never sent from one whose
               answer was lost
    search     its filters come with defaults of its own, and an answer may be of any size
    list       it reads all pages before it gives one, in no bounded time
    show       it cannot tell an instance that is gone from an odd answer
    keys       it has no call for the keys of one instance
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

from providers.base import (
    Capabilities,
    Instance,
    InstanceStatus,
    LaunchMode,
    LaunchSpec,
    OfferList,
    Template,
)
from providers.calls import Calls, Send
from providers.errors import (
    BadResponse,
    NotFound,
    OfferGone,
)
from providers.fields import as_row
from providers.http import MEBIBYTE, HttpClient
from providers.pacing import settle_at
from providers.vastai.creation import TEXT_LIMITS, present_creation
from providers.vastai.failures import creation_of, payload_of
from providers.vastai.lanes import Call, open_pacer
from providers.vastai.market import Market
from providers.vastai.sdk import Sdk
from providers.vastai.watchdog import with_watchdog
from providers.vastai.wire import (
    PROVIDER,
    parse_credit,
    parse_keys,
    parse_page,
    parse_single,
    parse_templates,
)

_log = logging.getLogger(__name__)

_SETTLE = timedelta(seconds=20)
_CREATE_WITHIN = timedelta(seconds=60)
_CREATE_PATIENCE = timedelta(seconds=75)
_SHORT = timedelta(seconds=15)
_LONG = timedelta(seconds=30)
_LARGE = 16 * MEBIBYTE
"""A search may answer with a thousand rows."""
_PAGE = 25
_MOST_PAGES = 400
_LONGEST_ID = 18

_USUAL_WAIT = timedelta(seconds=5)
"""Where a refusal for coming too early names none, at pace 1."""


@dataclass(frozen=True, slots=True)
class VastaiOptions:
    """One account."""

    api_key: str = field(repr=False)
    api_url: str
    pace: float = 1.0
    """Multiplies the documented intervals between calls; 0 is without any."""
    searches_per_day: int = 3_000
    """How many searches of the market a day may take, divided by the pace."""


async def open_vastai(options: VastaiOptions, now: Callable[[], datetime]) -> VastaiProvider:
    """Make the account ready to be asked; nothing is asked yet."""
    sdk = Sdk(options.api_key, options.api_url)
    await sdk.prepare()
    return VastaiProvider(options, sdk, now)


class VastaiProvider:
    """One Vast.ai account. Build it with `open_vastai`."""

    def __init__(self, options: VastaiOptions, sdk: Sdk, now: Callable[[], datetime]) -> None:
        self._options = options
        self._sdk = sdk
        self._now = now
        self._http = HttpClient.with_token(options.api_url, options.api_key)
        self._calls = Calls(
            open_pacer(options.pace),
            now,
            pace=options.pace,
            usual_wait=_USUAL_WAIT,
            secret=options.api_key,
        )
        self._market = Market(
            self._search, now, pace=options.pace, searches_per_day=options.searches_per_day
        )

    @property
    def name(self) -> str:
        return PROVIDER

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            launch_modes=frozenset(LaunchMode),
            settle=settle_at(self._options.pace, _SETTLE),
            direct_proof=True,
            templates=True,
            balance=True,
            watchdog=True,
            limits=replace(TEXT_LIMITS, watchdog=self._watchdog_size),
        )

    @property
    def _watchdog_size(self) -> int:
        return len(with_watchdog(None, self._now(), self._options.api_url))

    async def list_offers(self) -> OfferList:
        return await self._market.read()

    async def create(self, spec: LaunchSpec) -> Instance:
        if spec.watchdog_at is not None:
            script = with_watchdog(spec.on_start, spec.watchdog_at, self._options.api_url)
            spec = replace(spec, on_start=script)
        path, body = f"/api/v0/asks/{spec.offer.provider_id}/", present_creation(spec)
        try:
            send = partial(self._http.request, "PUT", path, within=_CREATE_WITHIN, body=body)
            creation = await self._calls.create(
                Call.CREATE, send, creation_of, patience=_CREATE_PATIENCE
            )
        except OfferGone:
            self._market.forget(spec.offer)
            raise
        self._market.forget(spec.offer)
        return Instance(
            creation.instance_id,
            spec.label,
            InstanceStatus.STARTING if creation.is_started else InstanceStatus.FAILED,
            creation.detail,
        )

    async def list_instances(self) -> Sequence[Instance]:
        found: dict[str, Instance] = {}
        total, token = 0, None
        for _ in range(_MOST_PAGES):
            page = parse_page(await self._list_page(token), self._now())
            found.update((instance.id, instance) for instance in page.instances)
            total = page.total or 0
            if page.next_token is None:
                break
            if page.next_token == token or not page.instances:
                raise BadResponse("The marketplace's list of instances goes round in circles.")
            token = page.next_token
        else:
            raise BadResponse("The marketplace's list of instances does not come to an end.")
        if len(found) < total:
            message = f"The marketplace's list has {len(found)} of {total} instances."
            raise BadResponse(message)
        return tuple(found.values())

    async def get(self, instance_id: str) -> Instance:
        number = _number(instance_id)
        path = f"/api/v0/instances/{number}/"
        payload = await self._ask(Call.SHOW, self._getting(path, {"owner": "me"}))
        return parse_single(payload, str(number), self._now())

    async def destroy(self, instance_id: str) -> None:
        number = _number(instance_id)
        send = partial(self._sdk.destroy_instance, number, within=_LONG)
        if as_row(await self._ask(Call.DESTROY, send)) is None:
            raise BadResponse("The marketplace does not say whether it destroys the machine.")

    async def attach_key(self, instance_id: str, public_key: str) -> None:
        number = _number(instance_id)
        attach = partial(self._sdk.attach_ssh, number, public_key, within=_SHORT)
        await self._ask(Call.ATTACH, attach)

    async def detach_key(self, instance_id: str, public_key: str) -> None:
        number = _number(instance_id)
        payload = await self._ask(Call.KEYS, self._getting(f"/api/v0/instances/{number}/ssh/"))
        for key in parse_keys(payload):
            if key.public_key.split()[:2] == public_key.split()[:2]:
                detach = partial(self._sdk.detach_ssh, number, key.id, within=_SHORT)
                await self._ask(Call.DETACH, detach)

    async def list_templates(self) -> Sequence[Template]:
        payload = await self._ask(Call.TEMPLATES, partial(self._sdk.search_templates, within=_LONG))
        read = parse_templates(payload, self._now())
        if read.dropped:
            _log.info("%d templates of Vast.ai cannot be read; they are left out.", read.dropped)
        return read.templates

    async def balance(self) -> Decimal:
        payload = await self._ask(Call.USER, partial(self._sdk.show_user, within=_SHORT))
        return parse_credit(payload)

    async def close(self) -> None:
        await self._http.close()

    async def _list_page(self, token: str | None) -> object:
        query = {
            "select_filters": "{}",
            "order_by": '[{"col": "id", "dir": "asc"}]',
            "limit": str(_PAGE),
        }
        if token is not None:
            query["after_token"] = token
        return await self._ask(Call.LIST, self._getting("/api/v1/instances/", query))

    async def _search(self, body: Mapping[str, object]) -> object:
        path = "/api/v0/bundles/"
        send = partial(self._http.request, "POST", path, within=_LONG, body=body, most_bytes=_LARGE)
        return await self._ask(Call.SEARCH, send)

    def _getting(self, path: str, query: Mapping[str, str] | None = None) -> Send:
        return partial(self._http.request, "GET", path, within=_SHORT, query=query)

    async def _ask(self, call: Call, send: Send) -> object:
        """The payload of a success, asked for in the turn of `call`; else raises what it means."""
        return await self._calls.ask(call, send, payload_of)


def _number(instance_id: str) -> int:
    """The id as Vast.ai knows it; raises `NotFound` for what it never gave to anything."""
    if not (instance_id.isascii() and instance_id.isdigit() and len(instance_id) <= _LONGEST_ID):
        raise NotFound(f"There is no machine {instance_id[:_LONGEST_ID]}.")
    return int(instance_id)
