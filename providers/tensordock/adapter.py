"""A TensorDock organization as a provider: thin calls, read in the pure modules."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
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
)
from providers.calls import Calls
from providers.errors import ImageUnavailable, NotFound, ProviderError, Unavailable
from providers.http import MEBIBYTE, HttpClient
from providers.pacing import DESTRUCTIONS_AT_ONCE, Lane, Pacer, settle_at
from providers.tensordock.creation import TEXT_LIMITS, images_for, present_creation
from providers.tensordock.failures import (
    NothingThere,
    created_id,
    payload_of,
    require_accepted,
)
from providers.tensordock.hosts import Host, parse_hosts
from providers.tensordock.market import PROVIDER, parse_market
from providers.tensordock.wire import (
    legacy_address,
    parse_balance,
    parse_instance,
    parse_instances,
    present_credentials,
)

_SETTLE = timedelta(minutes=2)
_READ_WITHIN = timedelta(seconds=25)
_HOSTS_WITHIN = timedelta(seconds=10)
_DESTROY_WITHIN = timedelta(seconds=60)
_CREATE_WITHIN = timedelta(seconds=120)
_CREATE_PATIENCE = timedelta(seconds=60)
_LARGE = 16 * MEBIBYTE

_DESTROY, _OTHER = "destroy", "other"
_OTHER_INTERVAL, _DESTROY_INTERVAL = timedelta(seconds=1), timedelta(seconds=2)
"""Between two calls of a lane at pace 1: together fewer than the hundred a minute allowed."""
_CALLS_AT_ONCE = 8
_USUAL_WAIT = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class TensordockOptions:
    """One organization."""

    api_token: str = field(repr=False)
    api_url: str
    """Of version 2 of the API: it ends with `/v2`."""
    auth_id: str | None = field(default=None, repr=False)
    """The authorization id: without it the balance cannot be asked for."""
    default_image: str = "ubuntu2404"
    pace: float = 1.0
    """Multiplies the intervals between calls; 0 is without any."""
    balance_floor: Decimal = Decimal(5)
    """USD that are not spent: the marketplace stops every machine when nearly nothing is left."""


class TensordockProvider:
    """One TensorDock organization. Nothing is asked before the first call."""

    def __init__(self, options: TensordockOptions, now: Callable[[], datetime]) -> None:
        self._options = options
        self._now = now
        self._http = HttpClient.with_token(options.api_url, options.api_token)
        legacy = legacy_address(options.api_url)
        self._legacy = HttpClient(legacy, {}) if legacy and options.auth_id else None
        pacer = Pacer(
            {
                _OTHER: Lane(_OTHER_INTERVAL * options.pace, _CALLS_AT_ONCE),
                _DESTROY: Lane(_DESTROY_INTERVAL * options.pace, DESTRUCTIONS_AT_ONCE),
            }
        )
        self._calls = Calls(
            pacer, now, pace=options.pace, usual_wait=_USUAL_WAIT, secret=options.api_token
        )

    @property
    def name(self) -> str:
        return PROVIDER

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            launch_modes=frozenset({LaunchMode.SSH}),
            settle=settle_at(self._options.pace, _SETTLE),
            direct_proof=True,
            custom_image=False,
            balance=self._legacy is not None,
            balance_floor=self._options.balance_floor,
            limits=TEXT_LIMITS,
        )

    async def list_offers(self) -> OfferList:
        sites, hosts = await asyncio.gather(self._read("/locations"), self._hosts())
        return parse_market(sites, self._now(), hosts)

    async def _hosts(self) -> Sequence[Host] | None:
        """What makes the list of sites better, and is not waited for long: it is enough alone."""
        with suppress(ProviderError):
            return parse_hosts(await self._read("/hostnodes", within=_HOSTS_WITHIN))
        return None

    async def create(self, spec: LaunchSpec) -> Instance:
        images = images_for(spec.image or self._options.default_image)
        for image in images:
            with suppress(ImageUnavailable):
                return await self._create_with(spec, image)
        raise ImageUnavailable(f"The host has none of the images {', '.join(images)}.")

    async def list_instances(self) -> Sequence[Instance]:
        return parse_instances(await self._read("/instances"))

    async def get(self, instance_id: str) -> Instance:
        try:
            payload = await self._read(f"/instances/{_known(instance_id)}")
        except NothingThere as error:
            raise await self._meant(error, instance_id) from error
        return parse_instance(payload, instance_id)

    async def destroy(self, instance_id: str) -> None:
        path = f"/instances/{_known(instance_id)}"
        send = partial(self._http.request, "DELETE", path, within=_DESTROY_WITHIN)
        try:
            await self._calls.ask(_DESTROY, send, require_accepted)
        except NothingThere as error:
            raise await self._meant(error, instance_id) from error

    async def balance(self) -> Decimal:
        if self._legacy is None or self._options.auth_id is None:
            raise Unavailable("The balance is told for an authorization id only.")
        form = present_credentials(self._options.auth_id, self._options.api_token)
        path = "/billing/balance"
        send = partial(self._legacy.request, "POST", path, within=_READ_WITHIN, form=form)
        return parse_balance(await self._calls.ask(_OTHER, send, payload_of))

    async def close(self) -> None:
        await self._http.close()
        if self._legacy is not None:
            await self._legacy.close()

    async def _create_with(self, spec: LaunchSpec, image: str) -> Instance:
        body = present_creation(spec, image)
        send = partial(self._http.request, "POST", "/instances", within=_CREATE_WITHIN, body=body)
        instance_id = await self._calls.create(_OTHER, send, created_id, patience=_CREATE_PATIENCE)
        return Instance(instance_id, spec.label, InstanceStatus.STARTING, image=image)

    async def _read(self, path: str, within: timedelta = _READ_WITHIN) -> object:
        send = partial(self._http.request, "GET", path, within=within, most_bytes=_LARGE)
        return await self._calls.ask(_OTHER, send, payload_of)

    async def _meant(self, error: NothingThere, instance_id: str) -> ProviderError:
        """An address where nothing is, and a list without the machine: together they say it."""
        listed = {instance.id for instance in await self.list_instances()}
        return error if instance_id in listed else NotFound()


def _known(instance_id: str) -> str:
    """The id, if one of theirs can look so; raises `NotFound` for what is none."""
    if not instance_id or not instance_id.replace("-", "").isalnum() or not instance_id.isascii():
        raise NotFound("There is no such machine.")
    return instance_id
