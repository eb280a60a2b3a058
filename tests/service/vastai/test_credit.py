"""What the credit of a Vast.ai account lets the broker do, over the wire."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from tests.service.conftest import Broker, Serve
from tests.service.scenarios import metric
from tests.service.vastai.asking import ANYTHING, FOR_EVER, account, calls_of, cheapest, vastai
from tests.vast_wire import Misfortune, Operation, VastWire, Word
from tests.waiting import eventually


@pytest.fixture
def machines_run() -> bool:
    """All here is decided before."""
    return False


async def paid(broker: Broker, wire: VastWire, credit: str) -> None:
    """The account has this credit, and the broker knows."""
    wire.credit = Decimal(credit)

    async def is_known() -> bool:
        balance = (await vastai(broker))["balance"]
        return balance is not None and abs(Decimal(str(balance)) - Decimal(credit)) < Decimal(
            "0.01"
        )

    await eventually(is_known)


def pays(offer: Any, hours: int) -> str:
    """A credit for so many hours, and a little for the beginning of somebody else's."""
    return str(Decimal(str(offer["price_per_hour"])) * hours + Decimal("0.001"))


async def _has_offers(broker: Broker) -> bool:
    return bool((await vastai(broker))["offers"])


async def test_what_can_be_spent_is_shown(broker: Broker, wire: VastWire) -> None:
    """In the list of providers and as a metric, with the instant at which it was read."""
    await paid(broker, wire, "12.5")
    account = await vastai(broker)

    assert account["capabilities"]["balance"] is True
    assert (account["state"], account["balance"]) == ("ready", 12.5)
    assert account["balance_read_at"] is not None
    assert await metric(broker, 'gpu_provider_balance_dollars{provider="vastai"}') == 12.5


async def test_how_much_of_the_market_was_read_is_shown(broker: Broker) -> None:
    """The whole of a small one."""
    coverage = (await vastai(broker))["coverage"]

    assert (coverage["complete"], coverage["dropped"]) == (True, 0)


async def test_what_the_credit_cannot_pay_is_not_rented(broker: Broker, wire: VastWire) -> None:
    """Named or chosen: 402 with the figures, and the marketplace was not even asked."""
    offer = await cheapest(broker)
    await paid(broker, wire, "0.01")
    named = await broker.rent(offer_id=offer["id"])
    chosen = await broker.rent(**ANYTHING)

    for status, body in (named, chosen):
        assert (402, "insufficient_funds") == (status, body["code"])
        assert "The credit at vastai is $0.01; 1 h of" in body["error"]
        assert "session_id" not in body
    assert f"{offer['id']} with 50 GB" in named[1]["error"]
    assert len(calls_of(wire, Operation.CREATE)) == 0
    _, listed = await broker.call("GET", "/api/v1/sessions")
    assert listed["total"] == 0


async def test_what_live_sessions_need_is_not_spent_twice(broker: Broker, wire: VastWire) -> None:
    """Until their ends; a session that has ended gives free what it held."""
    offer = await cheapest(broker)
    await paid(broker, wire, pays(offer, hours=2))
    status, first = await broker.rent(offer_id=offer["id"], reservation_hours=2)
    assert status == 201, first
    refused = await broker.rent(**ANYTHING, consumer_id="other")

    assert (402, "insufficient_funds") == (refused[0], refused[1]["code"])
    assert "and live sessions need" in refused[1]["error"]
    await broker.call("DELETE", f"/api/v1/sessions/{first['session']['id']}")
    status, body = await broker.rent(**ANYTHING, consumer_id="other")
    assert status == 201, body


async def test_what_live_sessions_need_is_known_after_a_restart(
    serve: Serve, wire: VastWire
) -> None:
    """Of those that were recorded before it."""
    settings = {"providers__simulator__enabled": False, **account(wire)}
    async with serve(**settings) as broker:
        await eventually(lambda: _has_offers(broker))
        offer = await cheapest(broker)
        await paid(broker, wire, pays(offer, hours=2))
        status, body = await broker.rent(offer_id=offer["id"], reservation_hours=2)
        assert status == 201, body
    async with serve(**settings) as broker:
        await eventually(lambda: _has_offers(broker))
        status, body = await broker.rent(**ANYTHING, consumer_id="other")

    assert (402, "insufficient_funds") == (status, body["code"])
    assert "and live sessions need" in body["error"]


async def test_requests_at_the_same_time_cannot_spend_the_same_money(
    broker: Broker, wire: VastWire
) -> None:
    """The credit pays one of them."""
    _, body = await broker.call("GET", "/api/v1/inventory?verified=true&limit=20")
    prices = [Decimal(str(offer["price_per_hour"])) for offer in body["offers"]]
    wanted = [
        offer for offer, price in zip(body["offers"], prices, strict=True) if prices[-1] / 2 < price
    ]
    assert len(wanted) > 2
    await paid(broker, wire, str(prices[-1] + Decimal("0.001")))
    answers = await asyncio.gather(*(broker.rent(offer_id=one["id"]) for one in wanted))

    assert sorted(status for status, _ in answers) == [201, *[402] * (len(answers) - 1)]
    assert len(calls_of(wire, Operation.CREATE)) == 1


async def test_an_extension_that_the_credit_cannot_pay_is_refused(
    broker: Broker, wire: VastWire
) -> None:
    """The end stays as it was; with more credit the same request is carried out."""
    offer = await cheapest(broker)
    await paid(broker, wire, pays(offer, hours=2))
    _, created = await broker.rent(offer_id=offer["id"], reservation_hours=1)
    path = f"/api/v1/sessions/{created['session']['id']}"
    status, body = await broker.call("POST", f"{path}/extend", {"additional_hours": 2})

    assert (402, "insufficient_funds") == (status, body["code"])
    assert "to extend by 2 h costs" in body["error"]
    assert (await broker.session(created["session"]["id"]))["reservation_hours"] == 1
    await paid(broker, wire, "50")
    status, body = await broker.call("POST", f"{path}/extend", {"additional_hours": 2})
    assert status == 200, body


async def test_a_simulated_market_beside_a_real_account_is_told_loudly(
    serve: Serve, wire: VastWire, caplog: pytest.LogCaptureFixture
) -> None:
    """What is rented there costs money. Either of them alone needs no word."""
    told = []
    for settings in (
        account(wire),
        {"providers__simulator__enabled": False, **account(wire)},
        {"providers__simulator__ssh": False},
    ):
        caplog.clear()
        async with serve(**settings):
            warnings = [one for one in caplog.records if "costs money" in one.getMessage()]
        told.append([one.levelname for one in warnings])

    assert told == [["WARNING"], [], []]


async def test_where_the_broker_chooses_it_takes_what_can_be_paid(
    with_simulator: Broker, wire: VastWire
) -> None:
    """The other provider's; where only this one is asked for, nobody's."""
    _, body = await with_simulator.call("GET", "/api/v1/inventory?verified=true")
    cheapest_of = {offer["gpu_type"]: offer for offer in reversed(body["offers"])}
    simulated = {one["gpu_type"] for one in body["offers"] if one["provider"] == "simulator"}
    wanted = next(
        gpu_type
        for gpu_type, offer in cheapest_of.items()
        if offer["provider"] == "vastai" and gpu_type in simulated
    )
    await paid(with_simulator, wire, "0")
    status, body = await with_simulator.rent(gpu_type=wanted)
    assert (201, "simulator") == (status, body["session"]["provider"])
    status, body = await with_simulator.rent(**ANYTHING, consumer_id="other")
    assert (402, "insufficient_funds") == (status, body["code"])
    assert len(calls_of(wire, Operation.CREATE)) == 0


@pytest.mark.parametrize("word", [Word.NO_CREDIT, Word.SPEND_LIMIT])
async def test_a_creation_that_the_marketplace_calls_unpaid_is_answered_with_402(
    broker: Broker, wire: VastWire, word: str
) -> None:
    """Whatever the credit says; another try at the same account is not made."""
    wire.misfortunes.add(Misfortune(word, times=FOR_EVER))
    status, body = await broker.rent(**ANYTHING, auto_retry=True, retry_scope="any")

    assert (402, "insufficient_funds") == (status, body["code"])
    session = await broker.session(body["session_id"])
    assert [one["reason"] for one in session["attempts"]] == ["insufficient_funds"]


async def test_another_provider_stands_in_for_an_account_that_cannot_pay(
    with_simulator: Broker, wire: VastWire
) -> None:
    """Where another try was asked for."""
    wire.misfortunes.add(Misfortune(Word.NO_CREDIT, times=FOR_EVER))
    query = "provider=vastai&sort=-price_per_hour&limit=1"
    _, body = await with_simulator.call("GET", f"/api/v1/inventory?{query}")
    status, body = await with_simulator.rent(
        offer_id=body["offers"][0]["id"], auto_retry=True, retry_scope="any"
    )
    assert status == 201, body

    async def stand_in() -> Any:
        session = await with_simulator.session(body["session"]["id"])
        return session if len(session["attempts"]) > 1 else None

    session = await eventually(stand_in)
    assert [one["provider"] for one in session["attempts"]] == ["vastai", "simulator"]
    assert session["attempts"][0]["reason"] == "insufficient_funds"


@pytest.mark.parametrize(
    ("misfortune", "state"),
    [
        (Misfortune(Word.ERROR, Operation.USER, times=FOR_EVER), "degraded"),
        (Misfortune(Word.HTML, Operation.USER, times=FOR_EVER), "degraded"),
        (Misfortune(Word.TRUNCATED, Operation.USER, times=FOR_EVER), "degraded"),
        (Misfortune(Word.BAD_KEY, Operation.USER, times=FOR_EVER), "needs_setup"),
    ],
    ids=lambda value: value.word if isinstance(value, Misfortune) else value,
)
async def test_a_balance_that_cannot_be_read_any_more_keeps_its_last_value(
    broker: Broker, wire: VastWire, misfortune: Misfortune, state: str
) -> None:
    """The reason is shown, and renting goes on."""
    await paid(broker, wire, "12.5")
    wire.misfortunes.add(misfortune)

    async def told() -> Any:
        account = await vastai(broker)
        return account if account["state"] == state else None

    account = await eventually(told)
    assert [reason.split()[0] for reason in account["reasons"]] == ["balance"]
    assert account["balance"] == 12.5
    status, body = await broker.rent(**ANYTHING)
    assert status == 201, body


async def test_a_search_quota_that_is_used_up_keeps_the_last_offers(
    broker: Broker, wire: VastWire
) -> None:
    """The reason is shown; machines are rented and ended as ever."""
    wire.misfortunes.add(Misfortune(Word.QUOTA, times=FOR_EVER))

    async def told() -> Any:
        account = await vastai(broker)
        return account if account["reasons"] else None

    account = await eventually(told)
    assert account["state"] == "degraded"
    assert account["reasons"][0].startswith("list_offers fails since")
    assert account["offers"] > 0
    _, listed = await broker.call("GET", "/api/v1/inventory")
    assert [warning["code"] for warning in listed["warnings"]] == ["stale"]
    status, body = await broker.rent(**ANYTHING)
    assert status == 201, body
    status, _ = await broker.call("DELETE", f"/api/v1/sessions/{body['session']['id']}")
    assert status == 200
