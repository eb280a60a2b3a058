"""One door to each provider: a deadline on every call, a listener, the provider's health.

Everything above the providers goes through a door. It adds no retries: whoever calls
decides whether a call may be repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Protocol, TypeVar

from broker.decide.draining import Drain
from broker.effects import Effect, effect
from broker.errors import Detail
from providers.base import (
    Capabilities,
    HasBalance,
    HasKeys,
    HasTemplates,
    Instance,
    LaunchSpec,
    OfferList,
    Provider,
    Template,
)
from providers.errors import (
    InvalidRequest,
    NotFound,
    OfferGone,
    OutcomeUnknown,
    ProviderError,
    Unauthorized,
    Unavailable,
)

T = TypeVar("T")

_DEADLINES = {
    Effect.LIST_OFFERS: timedelta(seconds=90),
    Effect.LIST_INSTANCES: timedelta(seconds=30),
    Effect.GET: timedelta(seconds=30),
    Effect.CREATE: timedelta(seconds=200),
    Effect.DESTROY: timedelta(minutes=10),
    Effect.LIST_TEMPLATES: timedelta(seconds=30),
    Effect.BALANCE: timedelta(seconds=30),
    Effect.ATTACH_KEY: timedelta(minutes=2),
    Effect.DETACH_KEY: timedelta(minutes=2),
}
"""Longest time per call, the wait for its turn at the provider included.

Creating may take two minutes, and its turn another one; offers a walk of the market. Of two
hundred destructions that are paced at three seconds the last has its turn after ten minutes; an
adapter bounds each request of its own."""

_TRIED_OFTEN = {Effect.LIST_OFFERS, Effect.LIST_INSTANCES}
"""The operations every provider is asked for all the time; both failing means that it is down."""

_LOOKED_AFTER_BY = (Effect.LIST_INSTANCES, Effect.GET, Effect.DESTROY)
"""What is needed to bring about an end and to prove it."""

_NO_FAULT_OF_THE_PROVIDER = (NotFound, OfferGone)


class _DeadlinePassed(Unavailable):
    """The provider did not answer in time; whatever was asked may still happen."""


def misnamed_provider(providers: Collection[str], given: Mapping[str, object]) -> Iterable[Detail]:
    """What is wrong with the `provider` among these fields, where it is none of `providers`."""
    provider = given.get("provider")
    if isinstance(provider, str) and provider not in providers:
        known = ", ".join(sorted(providers)) or "none"
        yield Detail("provider", f"must be one of the configured providers: {known}")


class ProviderState(StrEnum):
    """How far a provider can be used."""

    READY = "ready"
    DEGRADED = "degraded"
    DOWN = "down"
    NEEDS_SETUP = "needs_setup"


class CallListener(Protocol):
    """Is told of every provider call, after it."""

    def provider_called(
        self, provider: str, operation: Effect, seconds: float, error: ProviderError | None
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Health:
    """What the latest calls say of a provider."""

    state: ProviderState
    reasons: tuple[str, ...] = ()

    def but(self, reason: str | None) -> Health:
        """With one more reason, if there is one: then it is not ready."""
        if reason is None:
            return self
        is_ready = self.state is ProviderState.READY
        state = ProviderState.DEGRADED if is_ready else self.state
        return Health(state, (*self.reasons, reason))


class Door:
    """A provider behind deadlines, metrics and a record of its health."""

    def __init__(
        self,
        provider: Provider,
        listener: CallListener,
        *,
        now: Callable[[], datetime],
        drain: Drain | None = None,
    ) -> None:
        """With `drain` nothing new comes through it: no offers, no templates, no creation."""
        self.drain = drain
        self._provider = provider
        self._listener = listener
        self._now = now
        self._failing: dict[Effect, tuple[datetime, ProviderError]] = {}

    @property
    def name(self) -> str:
        return self._provider.name

    @property
    def capabilities(self) -> Capabilities:
        return self._provider.capabilities

    @property
    def health(self) -> Health:
        """Ready; degraded: something fails; down: both lists do; needs_setup: bad credentials."""
        reasons = tuple(
            f"{operation} fails since {since:%Y-%m-%dT%H:%M:%SZ}: {error}"
            for operation, (since, error) in sorted(self._failing.items())
        )
        if self.drain is not None and not self.drain.is_reachable:
            return Health(ProviderState.NEEDS_SETUP, reasons)
        if not reasons:
            return Health(ProviderState.READY)
        if any(isinstance(error, Unauthorized) for _, error in self._failing.values()):
            return Health(ProviderState.NEEDS_SETUP, reasons)
        is_down = self._failing.keys() >= _TRIED_OFTEN
        return Health(ProviderState.DOWN if is_down else ProviderState.DEGRADED, reasons)

    @property
    def is_shut(self) -> bool:
        """Whether nothing can be ended there: without credentials, or with wrong ones."""
        if self.drain is not None and not self.drain.is_reachable:
            return True
        failures = (self._failing.get(operation) for operation in _LOOKED_AFTER_BY)
        return any(isinstance(one[1], Unauthorized) for one in failures if one is not None)

    async def list_offers(self) -> OfferList:
        """As the provider's; none where it drains."""
        if self.drain is not None:
            return OfferList(())
        return await self._call(Effect.LIST_OFFERS, self._provider.list_offers())

    async def create(self, spec: LaunchSpec) -> Instance:
        """As the provider's; a deadline that passes is an unknown outcome.

        Refused where it drains: Unavailable.
        """
        if self.drain is not None:
            raise Unavailable(self.drain.refusal)
        try:
            return await self._call(Effect.CREATE, self._provider.create(spec))
        except _DeadlinePassed as error:
            raise OutcomeUnknown(str(error)) from error

    async def list_instances(self) -> Sequence[Instance]:
        return await self._call(Effect.LIST_INSTANCES, self._provider.list_instances())

    async def get(self, instance_id: str) -> Instance:
        return await self._call(Effect.GET, self._provider.get(instance_id))

    async def destroy(self, instance_id: str) -> None:
        await self._call(Effect.DESTROY, self._provider.destroy(instance_id))

    async def list_templates(self) -> Sequence[Template]:
        """The provider's templates; none where it has none."""
        if self.drain is not None or not isinstance(self._provider, HasTemplates):
            return ()
        return await self._call(Effect.LIST_TEMPLATES, self._provider.list_templates())

    @property
    def owns_keys(self) -> bool:
        """Whether the provider has to be told of every key of its machines."""
        return isinstance(self._provider, HasKeys)

    async def attach_key(self, instance_id: str, public_key: str) -> None:
        """As the provider's; nothing where it does not own its machines' keys."""
        if isinstance(self._provider, HasKeys):
            await self._call(Effect.ATTACH_KEY, self._provider.attach_key(instance_id, public_key))

    async def detach_key(self, instance_id: str, public_key: str) -> None:
        """As the provider's; nothing where it does not own its machines' keys."""
        if isinstance(self._provider, HasKeys):
            await self._call(Effect.DETACH_KEY, self._provider.detach_key(instance_id, public_key))

    async def balance(self) -> Decimal | None:
        """Spendable USD; None where the provider does not tell."""
        if not isinstance(self._provider, HasBalance):
            return None
        return await self._call(Effect.BALANCE, self._provider.balance())

    async def close(self) -> None:
        await self._provider.close()

    async def _call(self, operation: Effect, call: Awaitable[T]) -> T:
        clock = asyncio.get_running_loop().time
        begun = clock()
        try:
            result = await self._within_deadline(operation, call)
        except ProviderError as error:
            failure = None if _is_no_fault(operation, error) else error
            self._listener.provider_called(self.name, operation, clock() - begun, failure)
            self._note(operation, failure)
            raise
        self._listener.provider_called(self.name, operation, clock() - begun, None)
        self._note(operation, None)
        return result

    async def _within_deadline(self, operation: Effect, call: Awaitable[T]) -> T:
        try:
            with effect(operation):
                async with asyncio.timeout(_DEADLINES[operation].total_seconds()):
                    return await call
        except TimeoutError as error:
            message = f"{self.name} did not answer {operation} in time."
            raise _DeadlinePassed(message) from error

    def _note(self, operation: Effect, error: ProviderError | None) -> None:
        if error is None:
            self._failing.pop(operation, None)
            return
        since, _ = self._failing.get(operation, (self._now(), error))
        self._failing[operation] = (since, error)


def _is_no_fault(operation: Effect, error: ProviderError) -> bool:
    """Whether the provider is well all the same.

    "It is gone" is an answer, and often the one that was hoped for; what a consumer asks for may
    be wrong, whoever is asked.
    """
    if operation is Effect.CREATE and isinstance(error, InvalidRequest):
        return True
    return isinstance(error, _NO_FAULT_OF_THE_PROVIDER)
