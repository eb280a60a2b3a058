"""The offers of TensorDock: what its sites sell, made better by what its hosts have left."""

from __future__ import annotations

import asyncio

import pytest

from providers.tensordock import TensordockProvider
from tests.tensordock_wire import Operation, TensordockWire, Word
from tests.waiting import eventually
from tests.wire.misfortunes import Misfortune


@pytest.mark.parametrize("word", [Word.ERROR, Word.HTML, Word.TRUNCATED, Word.BAD_TOKEN])
async def test_hosts_that_cannot_be_read_take_no_offer_away(
    tensordock: TensordockProvider, tensordock_wire: TensordockWire, word: Word
) -> None:
    """The list is whole without them, and says what it does not know."""
    told = await tensordock.list_offers()
    tensordock_wire.misfortunes.add(Misfortune(word, Operation.HOSTNODES))
    listed = await tensordock.list_offers()

    assert told.detail == ""
    assert {offer.id for offer in told.offers} <= {offer.id for offer in listed.offers}
    assert "the hosts have left cannot be read" in listed.detail
    assert listed.complete


async def test_hosts_that_hang_are_asked_beside_the_sites(
    tensordock: TensordockProvider, tensordock_wire: TensordockWire
) -> None:
    """Who waits for both does not wait for one after the other."""
    tensordock_wire.misfortunes.add(Misfortune(Word.HANGS, Operation.HOSTNODES))
    tensordock_wire.misfortunes.add(Misfortune(Word.HANGS, Operation.LOCATIONS))
    reading = asyncio.create_task(tensordock.list_offers())
    asked = {Operation.HOSTNODES, Operation.LOCATIONS}

    async def both_are_asked() -> bool:
        return asked <= {call.operation for call in tensordock_wire.calls}

    await eventually(both_are_asked)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
