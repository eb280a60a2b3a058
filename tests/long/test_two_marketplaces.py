"""Two marketplaces, of which one fails: the other one's sessions and ends go on."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from broker.clock import utcnow
from tests.service.conftest import Broker
from tests.service.tensordock.asking import end, running
from tests.service.tensordock.conftest import ServeTensordock, serve_tensordock, wire
from tests.service.vastai.asking import account
from tests.tensordock_wire import TensordockWire
from tests.vast_wire import Misfortune, Word, open_vast_wire
from tests.waiting import eventually

__all__ = ["serve_tensordock", "wire"]

FOR_EVER = 1_000_000


@pytest.mark.parametrize(
    "misfortune",
    [
        Misfortune(Word.HANGS, times=FOR_EVER),
        Misfortune(Word.SLOW, times=FOR_EVER, delay=timedelta(seconds=30)),
        Misfortune(Word.RESET, times=FOR_EVER),
        Misfortune(Word.HTML, times=FOR_EVER),
        Misfortune(Word.TRUNCATED, times=FOR_EVER),
        Misfortune(Word.BAD_KEY, times=FOR_EVER),
    ],
    ids=lambda misfortune: misfortune.word,
)
async def test_a_marketplace_that_fails_holds_up_no_session_of_another(
    serve_tensordock: ServeTensordock,
    wire: TensordockWire,
    tmp_path: Path,
    misfortune: Misfortune,
) -> None:
    """A session is rented, proved and ended; the inventory tells which part is missing."""
    async with open_vast_wire(tmp_path / "vast", now=utcnow, ssh=False) as vast:
        vast.misfortunes.add(misfortune)
        async with serve_tensordock(**account(vast)) as broker:
            session, _ = await running(broker, provider="tensordock")
            _, body = await broker.call("GET", "/api/v1/inventory")
            assert {offer["provider"] for offer in body["offers"]} == {"tensordock"}
            assert not body["providers"]["vastai"]["ok"]
            assert body["providers"]["tensordock"]["ok"]
            assert (await end(broker, session))["status"] == "stopped"
    assert wire.instances() == []


async def test_a_marketplace_that_hangs_lets_another_be_read_again_and_again(
    serve_tensordock: ServeTensordock, tmp_path: Path
) -> None:
    """Each market has a timer of its own."""
    async with open_vast_wire(tmp_path / "vast", now=utcnow, ssh=False) as vast:
        vast.misfortunes.add(Misfortune(Word.HANGS, times=FOR_EVER))
        often = {"inventory__cache_ttl": timedelta(milliseconds=200)}
        async with serve_tensordock(**account(vast), **often) as broker:
            before = broker.parts.tools.inventory.revision

            async def is_read_again() -> bool:
                tensordock, vastai = _new_readings(broker, before)
                assert vastai == 0, "the marketplace that hangs has given up"
                return tensordock >= 3

            await eventually(is_read_again)


def _new_readings(broker: Broker, before: tuple[int, ...]) -> tuple[int, ...]:
    """How often each market was read since then, by its provider's name."""
    now = broker.parts.tools.inventory.revision
    return tuple(new - old for new, old in zip(now[-2:], before[-2:], strict=True))
