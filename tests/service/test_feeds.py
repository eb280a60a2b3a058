"""How the markets are read: in the background, once at a time, and what errors do to that."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from broker.errors import ProviderUnavailable
from broker.model import Warned
from broker.store import Store
from broker.usecases.feed import Coverage
from broker.usecases.inventory import Gone, Inventory
from providers.errors import RateLimited, Unauthorized, Unavailable
from tests.offers import an_offer
from tests.service.markets import Clock, ScriptedMarket, inventory_of


@pytest.fixture
def market() -> ScriptedMarket:
    """A market with two offers."""
    return ScriptedMarket("cloud", an_offer("1"), an_offer("2", price="0.4"))


@pytest.fixture
async def inventory(store: Store, clock: Clock, market: ScriptedMarket) -> AsyncIterator[Inventory]:
    """The inventory of that market, not read yet."""
    one = inventory_of(store, clock, market)
    yield one
    await one.close()


def ids(inventory: Inventory) -> list[str]:
    """What is listed."""
    return [row.id for row in inventory.listed()]


async def test_callers_that_come_together_share_one_reading(
    inventory: Inventory, market: ScriptedMarket
) -> None:
    """The second joins the first."""
    await asyncio.gather(*(inventory.refresh("cloud") for _ in range(20)))

    assert market.readings == 1
    assert ids(inventory) == ["cloud-2", "cloud-1"]


async def test_a_caller_that_leaves_poisons_nothing(
    inventory: Inventory, market: ScriptedMarket
) -> None:
    """An impatient client ends its own waiting; the reading goes on and is no error."""
    market.answers.clear()
    impatient = asyncio.create_task(inventory.refresh("cloud"))
    patient = asyncio.create_task(inventory.refresh("cloud"))
    await market.is_asked.wait()
    impatient.cancel()
    market.answers.set()
    await patient

    assert impatient.cancelled()
    assert market.readings == 1
    assert ids(inventory) == ["cloud-2", "cloud-1"]
    assert inventory.readings()["cloud"].is_ok


async def test_the_first_request_waits_for_the_first_reading(
    inventory: Inventory, market: ScriptedMarket
) -> None:
    """And begins none itself."""
    waiting = asyncio.create_task(inventory.ready())
    await asyncio.sleep(0)
    assert not waiting.done()
    assert market.readings == 0
    await inventory.refresh_all()
    await waiting

    assert ids(inventory) == ["cloud-2", "cloud-1"]


async def test_a_request_waits_for_a_slow_market_only_for_a_while(
    inventory: Inventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All requests together: who comes later waits for what is left of it."""
    monkeypatch.setattr("broker.usecases.inventory._FIRST_PATIENCE", 0.01)
    await inventory.ready()
    monkeypatch.setattr("broker.usecases.inventory._FIRST_PATIENCE", 3600)
    async with asyncio.timeout(5):
        await inventory.ready()

    assert ids(inventory) == []


async def test_a_market_is_read_again_when_its_reading_is_old_enough(
    inventory: Inventory, market: ScriptedMarket, clock: Clock
) -> None:
    """Not before, however often it is asked."""
    await inventory.refresh_due("cloud")
    clock.pass_by(seconds=59)
    await inventory.refresh_due("cloud")
    assert market.readings == 1
    clock.pass_by(seconds=1)
    await inventory.refresh_due("cloud")

    assert market.readings == 2


async def test_an_error_keeps_the_last_reading_until_it_is_too_old(
    inventory: Inventory, market: ScriptedMarket, clock: Clock
) -> None:
    """It ages, is believed less, and is left out in the end."""
    await inventory.refresh_all()
    market.error = Unavailable("host secret.example refused the connection")
    clock.pass_by(minutes=3.5)
    await inventory.refresh_all()

    assert [row.confidence for row in inventory.listed()] == [0.75, 0.75]
    assert not inventory.readings()["cloud"].is_ok
    assert [warned.code for warned in inventory.warnings()] == ["stale"]
    inventory.require_offers()
    clock.pass_by(minutes=1.6)
    assert ids(inventory) == []
    assert [warned.code for warned in inventory.warnings()] == ["provider_unavailable"]
    with pytest.raises(
        ProviderUnavailable, match=r"since 2026-03-14T12:03:30Z: .* does not answer"
    ) as caught:
        inventory.require_offers()
    assert "secret" not in str(caught.value)


async def test_a_good_reading_ends_the_trouble(
    inventory: Inventory, market: ScriptedMarket, clock: Clock
) -> None:
    """As if nothing had been."""
    market.error = Unavailable()
    await inventory.refresh_all()
    market.error = None
    clock.pass_by(minutes=1)
    await inventory.refresh_all()

    assert ids(inventory) == ["cloud-2", "cloud-1"]
    assert inventory.warnings() == []
    assert inventory.readings()["cloud"].error is None


async def test_errors_in_a_row_are_followed_by_growing_pauses(
    inventory: Inventory, market: ScriptedMarket, clock: Clock
) -> None:
    """30 s, 1, 2, 4 and never more than 5 minutes; nobody can make us ask sooner."""
    market.error = Unavailable()
    asked_at = []
    for second in range(1200):
        before = market.readings
        await inventory.refresh("cloud")
        if market.readings > before:
            asked_at.append(second)
        clock.pass_by(seconds=1)

    assert asked_at == [0, 30, 90, 210, 450, 750, 1050]


@pytest.mark.parametrize(
    ("error", "pause"),
    [
        (RateLimited(retry_after=timedelta(seconds=100)), 100),
        (RateLimited(), 30),
        (RateLimited(retry_after=timedelta(days=10_000)), 3600),
        (Unauthorized(), 60),
    ],
)
async def test_a_market_that_orders_a_pause_gets_it(
    inventory: Inventory, market: ScriptedMarket, clock: Clock, error: Exception, pause: int
) -> None:
    """A wrong key is tried once per interval, however long it is wrong."""
    market.error = error
    for _ in range(2 if pause != 30 else 1):
        await inventory.refresh_due("cloud")
        before = market.readings
        clock.pass_by(seconds=pause - 1)
        await inventory.refresh_due("cloud")
        assert market.readings == before
        clock.pass_by(seconds=1)
        await inventory.refresh_due("cloud")
        assert market.readings == before + 1
        clock.pass_by(seconds=pause)


async def test_an_adapter_that_breaks_is_a_market_that_cannot_be_read(
    inventory: Inventory, market: ScriptedMarket, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has the traceback; consumers hear nothing internal."""
    market.error = KeyError("inner working")
    with caplog.at_level(logging.ERROR):
        await inventory.refresh_all()
    reading = inventory.readings()["cloud"]

    assert not reading.is_ok
    assert "inner working" not in str(reading.error)
    assert "inner working" in caplog.text


async def test_one_market_in_trouble_does_not_hide_the_others(store: Store, clock: Clock) -> None:
    """Their offers are listed, and a warning names the one."""
    good = ScriptedMarket("good", an_offer("1", provider="good"))
    bad = ScriptedMarket("bad")
    bad.error = Unavailable()
    inventory = inventory_of(store, clock, good, bad)
    await inventory.refresh_all()

    assert ids(inventory) == ["good-1"]
    assert [w.message.split()[0] for w in inventory.warnings()] == ["bad"]
    inventory.require_offers()


async def test_an_empty_market_that_answers_is_just_empty(store: Store, clock: Clock) -> None:
    """Nobody is failing: that is no error."""
    inventory = inventory_of(store, clock, ScriptedMarket("cloud"))
    await inventory.refresh_all()
    inventory.require_offers()

    assert ids(inventory) == []
    assert inventory.warnings() == []


async def test_a_partial_reading_is_shown_with_a_warning(
    inventory: Inventory, market: ScriptedMarket
) -> None:
    """The market has more than it told."""
    market.is_complete = False
    market.detail = "64 of about 2000 rows."
    await inventory.refresh_all()

    assert inventory.readings()["cloud"].coverage == Coverage(
        is_complete=False, detail=market.detail
    )
    assert inventory.warnings() == [
        Warned("market_partly_read", "cloud has more offers than were read. 64 of about 2000 rows.")
    ]


async def test_what_is_missing_of_a_market_is_logged_when_that_changes(
    inventory: Inventory,
    market: ScriptedMarket,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The rows that were dropped are counted; nothing is said again and again."""
    told = []
    for is_complete, dropped in [(True, 0), (False, 2), (False, 2), (True, 2), (True, 0)]:
        market.is_complete, market.dropped = is_complete, dropped
        caplog.clear()
        with caplog.at_level(logging.INFO):
            await inventory.refresh_all()
        told.append([record.getMessage() for record in caplog.records])
        clock.pass_by(minutes=1)

    left_out = "{} rows of the market of cloud cannot be understood and are left out (before: {})."
    assert told == [
        [],
        ["The market of cloud is read in part.", left_out.format(2, 0)],
        [],
        ["The market of cloud is read in whole."],
        [left_out.format(0, 2)],
    ]


async def test_a_quota_that_is_used_up_for_hours_is_a_market_that_grows_old(
    inventory: Inventory, market: ScriptedMarket, clock: Clock
) -> None:
    """Its last offers are listed as long as those of any that fails; then the reason is told."""
    await inventory.refresh_all()
    market.error = RateLimited(retry_after=timedelta(hours=9))
    clock.pass_by(minutes=1)
    await inventory.refresh_due("cloud")
    clock.pass_by(minutes=4)
    await inventory.refresh_due("cloud")
    assert ids(inventory) == ["cloud-2", "cloud-1"]
    clock.pass_by(minutes=1)
    await inventory.refresh_due("cloud")

    assert ids(inventory) == []
    assert market.readings == 2
    with pytest.raises(ProviderUnavailable, match=r"cannot be read since .* was asked too often"):
        inventory.require_offers()


async def test_an_offer_that_vanished_is_told_from_one_that_never_was(
    inventory: Inventory, market: ScriptedMarket, clock: Clock
) -> None:
    """For an hour."""
    await inventory.refresh_all()
    market.offers = market.offers[:1]
    clock.pass_by(minutes=1)
    await inventory.refresh_all()

    assert inventory.find("cloud-1") == an_offer("1")
    assert inventory.find("cloud-2") == Gone("cloud-2", "cloud")
    assert inventory.find("cloud-3") is None
    assert inventory.find("cloud-2-3") is None
    assert inventory.find("") is None
    for _ in range(60):
        clock.pass_by(minutes=1)
        await inventory.refresh_all()
    assert inventory.find("cloud-2") is None


async def test_an_offer_that_comes_back_is_not_gone(
    inventory: Inventory, market: ScriptedMarket, clock: Clock
) -> None:
    """It is rentable as before."""
    await inventory.refresh_all()
    offers, market.offers = market.offers, ()
    clock.pass_by(minutes=1)
    await inventory.refresh_all()
    market.offers = offers
    clock.pass_by(minutes=1)
    await inventory.refresh_all()

    assert inventory.find("cloud-1") == an_offer("1")


async def test_no_offer_is_judged_while_its_market_cannot_be_read(
    inventory: Inventory, market: ScriptedMarket, clock: Clock
) -> None:
    """Neither gone nor unknown: ask again later. Other names are unknown all the same."""
    await inventory.refresh_all()
    market.error = Unavailable()
    clock.pass_by(minutes=6)
    await inventory.refresh_all()

    with pytest.raises(ProviderUnavailable):
        inventory.find("cloud-1")
    with pytest.raises(ProviderUnavailable):
        inventory.find("cloud-99")
    assert inventory.find("elsewhere-1") is None
