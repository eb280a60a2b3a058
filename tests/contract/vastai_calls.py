"""What the tests of the account at Vast.ai have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from providers.base import Instance
from providers.vastai import VastaiProvider
from tests.contract.conftest import Clock, a_spec, first_offer
from tests.vast_wire import Operation, VastWire

Ask = Callable[[VastaiProvider], Awaitable[object]]


def calls_of(wire: VastWire, operation: Operation) -> list[object]:
    """The bodies of the calls of one kind."""
    return [call.body for call in wire.calls if call.operation is operation]


async def rented(provider: VastaiProvider, clock: Clock) -> Instance:
    """A machine that runs."""
    made = await provider.create(a_spec(await first_offer(provider)))
    clock.forward(60)
    return await provider.get(made.id)
