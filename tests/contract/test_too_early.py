"""A creation that a marketplace refuses unread, because it is asked too often."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Protocol

import pytest

from providers.base import InstanceStatus, Provider
from providers.errors import RateLimited
from tests.contract.conftest import Scene, a_spec, first_offer
from tests.wire.gate import Call
from tests.wire.misfortunes import Misfortune, Misfortunes


class Wire(Protocol):
    """A marketplace on the wire."""

    misfortunes: Misfortunes

    @property
    def calls(self) -> Sequence[Call]: ...

    def instances(self) -> Sequence[Any]: ...


@pytest.fixture
def wire(scene: Scene) -> Any:
    """The marketplace of every adapter that speaks to one on the wire, in turn."""
    if not hasattr(scene, "wire"):
        pytest.skip("this market is not on the wire, and refuses nobody for haste")
    return scene.wire


@pytest.fixture
def provider(scene: Scene) -> Provider:
    """Its adapter."""
    return scene.provider


def refuse(wire: Wire, *, times: int, retry_after: float) -> None:
    """Refuse the next creations."""
    wire.misfortunes.add(Misfortune("rate_limited", "create", times=times, retry_after=retry_after))


def creations(wire: Wire) -> int:
    """How often a creation was sent."""
    return [call.operation for call in wire.calls].count("create")


async def test_a_creation_that_came_too_early_is_sent_again(provider: Provider, wire: Wire) -> None:
    """It was refused unread: nothing was made, and the offer may still be there."""
    offer = await first_offer(provider)
    refuse(wire, times=1, retry_after=0.1)

    made = await provider.create(a_spec(offer))

    assert made.status is InstanceStatus.STARTING
    assert creations(wire) == 2
    assert len(wire.instances()) == 1


async def test_a_creation_that_always_comes_too_early_is_given_up(
    provider: Provider, wire: Wire
) -> None:
    """Another offer may be had elsewhere in the meantime."""
    offer = await first_offer(provider)
    refuse(wire, times=9, retry_after=0)

    with pytest.raises(RateLimited):
        await provider.create(a_spec(offer))

    assert creations(wire) == 3
    assert wire.instances() == []


async def test_a_creation_that_would_have_to_wait_for_long_is_not_sent_again(
    provider: Provider, wire: Wire
) -> None:
    """Whoever asked is told how long it is."""
    offer = await first_offer(provider)
    refuse(wire, times=1, retry_after=1800)

    with pytest.raises(RateLimited) as caught:
        await provider.create(a_spec(offer))

    assert caught.value.retry_after == timedelta(minutes=30)
    assert creations(wire) == 1
