"""The credit of the accounts: read in the background, and what errors do to that."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from broker.decide import moves
from broker.decide.funds import Credit, Purse
from broker.model import Change, Confidential, Reason, Session
from broker.store import Store
from broker.usecases.funds import Funds
from providers.errors import RateLimited, Unavailable
from tests.builders import a_session, an_attempt
from tests.offers import NOW, able
from tests.service.markets import Clock, ScriptedMarket, doors_of


@pytest.fixture
def market() -> ScriptedMarket:
    """A market whose account has ten dollars."""
    one = ScriptedMarket("simulator", balance=True)
    one.credit = Decimal(10)
    return one


@pytest.fixture
async def funds(store: Store, clock: Clock, market: ScriptedMarket) -> AsyncIterator[Funds]:
    """The funds of that market and of one that tells nothing, not read yet."""
    silent = ScriptedMarket("silent")
    one = Funds(doors_of([market, silent], clock), store, now=clock)
    yield one
    await one.close()


async def test_the_credit_is_known_once_it_was_read(funds: Funds) -> None:
    """And only where the provider tells it."""
    assert funds.credit("simulator") is None
    assert funds.purses() == {}
    await funds.refresh_all()

    assert funds.credit("simulator") == Credit(Decimal(10), NOW)
    assert funds.balances == {"simulator": Decimal(10)}
    assert funds.purses().keys() == {"simulator"}


async def test_an_error_keeps_the_last_credit_until_it_is_too_old(
    funds: Funds, market: ScriptedMarket, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """It is shown with its age all the same, and refuses nothing any more."""
    await funds.refresh_all()
    market.error = Unavailable()
    clock.pass_by(minutes=5)
    with caplog.at_level(logging.INFO):
        await funds.refresh_all()
        await funds.refresh_all()

        assert funds.purses().keys() == {"simulator"}
        clock.pass_by(seconds=1)
        assert funds.purses() == {}
        assert funds.credit("simulator") == Credit(Decimal(10), NOW)
        market.error = None
        await funds.refresh_all()

    assert funds.purses().keys() == {"simulator"}
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_an_adapter_that_breaks_is_a_balance_that_cannot_be_read(
    funds: Funds, market: ScriptedMarket, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has the traceback, and the broker goes on."""
    market.error = KeyError("inner working")
    await funds.refresh_all()

    assert funds.credit("simulator") is None
    assert "inner working" in caplog.text


async def test_a_marketplace_that_orders_a_pause_is_not_asked_meanwhile(
    funds: Funds, market: ScriptedMarket, clock: Clock
) -> None:
    """Not for an hour at most."""
    market.error = RateLimited(retry_after=timedelta(days=1))
    await funds.refresh_all()
    clock.pass_by(minutes=59)
    await funds.refresh_all()
    assert market.readings == 1
    clock.pass_by(minutes=1)
    await funds.refresh_all()

    assert market.readings == 2


async def test_a_creation_waits_for_the_first_reading(funds: Funds, market: ScriptedMarket) -> None:
    """And begins none itself."""
    waiting = asyncio.create_task(funds.ready())
    await asyncio.sleep(0)
    assert not waiting.done()
    assert market.readings == 0
    await funds.refresh_all()
    await waiting


async def test_a_creation_waits_for_a_slow_account_only_for_a_while(
    funds: Funds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All creations together: who comes later waits for what is left of it."""
    monkeypatch.setattr("broker.usecases.funds._FIRST_PATIENCE", 0.01)
    await funds.ready()
    monkeypatch.setattr("broker.usecases.funds._FIRST_PATIENCE", 3600)
    async with asyncio.timeout(5):
        await funds.ready()

    assert funds.purses() == {}


async def test_a_refusal_is_reconsidered_where_the_credit_was_read_a_while_ago(
    funds: Funds, market: ScriptedMarket, clock: Clock
) -> None:
    """Somebody may have paid in; one that is fresh is not asked for again."""
    assert not await funds.look_again()
    await funds.refresh_all()
    market.credit = Decimal(20)

    assert not await funds.look_again()
    assert market.readings == 1
    clock.pass_by(seconds=11)
    assert await funds.look_again()
    assert funds.balances == {"simulator": Decimal(20)}


async def test_a_reconsidered_refusal_does_not_wait_for_a_slow_account(
    funds: Funds, market: ScriptedMarket, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reading goes on without it."""
    await funds.refresh_all()
    clock.pass_by(minutes=1)
    market.answers.clear()
    monkeypatch.setattr("broker.usecases.funds._SECOND_LOOK_PATIENCE", 0.01)

    assert not await funds.look_again()
    market.answers.set()
    await funds.refresh_all()
    assert funds.credit("simulator") == Credit(Decimal(10), clock())


async def falls_of(store: Store) -> list[tuple[str, float]]:
    """The events about balances, with what was left."""
    events = await store.events()
    return [(event.type, event.data["balance"]) for event in events]


async def test_a_balance_that_falls_below_its_floor_is_an_event(
    store: Store, clock: Clock, market: ScriptedMarket, caplog: pytest.LogCaptureFixture
) -> None:
    """Once per fall, and once when it is back: not at every reading, and not after a restart."""
    market.capabilities = able(balance=True, balance_floor=Decimal(5))

    async def left(*amounts: str) -> None:
        """A broker begins, and reads these balances."""
        funds = Funds(doors_of([market], clock), store, now=clock)
        for amount in amounts:
            market.credit = Decimal(amount)
            await funds.refresh_all()
        await funds.close()

    with caplog.at_level(logging.INFO):
        await left("10", "5")
        assert await falls_of(store) == []
        await left("4.99", "3")
        await left("2.5")
        assert await falls_of(store) == [("balance.below_floor", 4.99)]
        await left("8", "9")
        assert await falls_of(store) == [("balance.below_floor", 4.99), ("balance.recovered", 8)]
        await left("1")

    *_, last = await store.events()
    assert last.data == {"provider": "simulator", "balance": 1, "floor": 5}
    assert last.session_id is None
    told = [(record.levelname, record.message) for record in caplog.records]
    assert [level for level, _ in told] == ["WARNING", "INFO", "WARNING"]
    assert "balance of simulator, $4.99, is below the floor of $5.00" in told[0][1]


async def test_an_event_that_cannot_be_written_is_written_at_the_next_reading(
    store: Store, tmp_path: Path, clock: Clock, market: ScriptedMarket
) -> None:
    """And nobody waits for it: the balance is known all the same."""
    market.capabilities = able(balance=True, balance_floor=Decimal(50))
    funds = Funds(doors_of([market], clock), store, now=clock)
    with closing(sqlite3.connect(tmp_path / "broker.db")) as connection:
        connection.execute("ALTER TABLE events RENAME TO hidden")
        await funds.refresh_all()
        assert funds.balances == {"simulator": Decimal(10)}
        connection.execute("ALTER TABLE hidden RENAME TO events")
    await funds.refresh_all()
    await funds.close()

    assert await falls_of(store) == [("balance.below_floor", 10)]


async def test_a_balance_below_its_floor_is_told_while_it_is_believed(
    funds: Funds, clock: Clock
) -> None:
    """Nothing is told of one that is not known, or was known too long ago."""
    assert funds.shortage("simulator") is None
    assert funds.shortage("silent") is None
    await funds.refresh_all()
    assert funds.shortage("simulator") is None


async def test_a_shortage_says_what_to_do(
    store: Store, clock: Clock, market: ScriptedMarket
) -> None:
    """With the figures; a reading that is too old refuses nothing, so nothing is said."""
    market.capabilities = able(balance=True, balance_floor=Decimal(20))
    funds = Funds(doors_of([market], clock), store, now=clock)
    await funds.refresh_all()

    assert funds.shortage("simulator") == (
        "The balance of simulator, $10.00, is below the floor of $20.00: "
        "nothing is rented there until somebody pays in."
    )
    assert funds.floors == {"simulator": Decimal(20)}
    clock.pass_by(minutes=6)
    assert funds.shortage("simulator") is None
    await funds.close()


def a_live_session(clock: Clock) -> Session:
    """Two hours at half a dollar."""
    return a_session(
        created_at=clock(),
        expires_at=clock() + timedelta(hours=2),
        hard_max_at=clock() + timedelta(hours=12),
        price_per_hour=Decimal("0.5"),
    )


async def test_what_live_sessions_cost_is_set_aside_from_the_start(
    funds: Funds, store: Store, clock: Clock
) -> None:
    """Also for those that were recorded before a restart."""
    session = a_live_session(clock)
    await store.add_session(moves.record(session, an_attempt()), Confidential())
    await funds.load()
    await funds.refresh_all()

    assert funds.purses() == {"simulator": Purse(Decimal(10), committed=Decimal(1))}
    assert funds.purses(without=session.id) == {"simulator": Purse(Decimal(10))}


async def test_what_is_set_aside_follows_the_session(funds: Funds, clock: Clock) -> None:
    """Its extension, and its end."""
    await funds.refresh_all()
    session = a_live_session(clock)
    later = session.expires_at + timedelta(hours=1)

    def told(change: Change) -> Decimal:
        funds.session_changed(change, change.session)
        return funds.purses()["simulator"].committed

    assert told(moves.record(session, an_attempt())) == 1
    assert told(moves.extend(session, later, clock())) == Decimal("1.5")
    assert told(moves.end(session, Reason.DONE, clock(), clock())) == 0
