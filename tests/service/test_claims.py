"""Offers that our own sessions have taken: never rented twice, never lost."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from broker.decide.funds import Purse
from broker.decide.jumps import Jump
from broker.effects import Effect
from broker.errors import InsufficientFunds
from broker.model import Change, Confidential, Criteria, Reason
from broker.store import Store
from broker.usecases.inventory import Gone, Inventory
from providers.base import Offer
from tests import builders
from tests.offers import a_failure, a_request, an_offer, minutes
from tests.service import store_examples
from tests.service.markets import Clock, ScriptedMarket, inventory_of
from tests.service.store_examples import add, session

ONE, TWO = an_offer("1"), an_offer("2", price="0.6")


async def read(store: Store, clock: Clock, *offers: Offer) -> Inventory:
    """The inventory of a market with these offers, read once."""
    inventory = inventory_of(store, clock, ScriptedMarket("cloud", *offers))
    await inventory.refresh_all()
    return inventory


def ids(inventory: Inventory) -> list[str]:
    """What is listed."""
    return [row.id for row in inventory.listed()]


async def test_a_hundred_creations_by_criteria_take_a_hundred_different_offers(
    store: Store, clock: Clock
) -> None:
    """The cheapest first; the hundred and first finds nothing."""
    offers = [an_offer(str(n), price=f"0.{n}") for n in range(100, 200)]
    inventory = await read(store, clock, *offers)
    chosen = [inventory.choose(a_request()) for _ in range(100)]

    assert chosen == offers
    assert inventory.choose(a_request()) is None


async def test_an_offer_is_free_again_when_its_machine_is_gone(store: Store, clock: Clock) -> None:
    """The proof of it may come when the offer is listed, and somebody else has taken it."""
    inventory = await read(store, clock, ONE)
    accepted_at = clock()
    assert inventory.claim(ONE)
    inventory.confirm(ONE, accepted_at)
    inventory.vacate(ONE, accepted_at)
    assert inventory.claim(ONE)

    inventory.vacate(ONE, accepted_at)
    assert not inventory.claim(ONE)

    inventory.confirm(ONE, accepted_at + minutes(1))
    inventory.vacate(ONE, accepted_at)
    assert not inventory.claim(ONE)


async def test_a_clock_that_is_set_back_hides_no_offer(store: Store, clock: Clock) -> None:
    """The next reading decides, whatever the clock shows by then."""
    inventory = await read(store, clock, ONE)
    assert inventory.claim(ONE)
    inventory.confirm(ONE, clock())
    clock.pass_by(hours=-3)
    back = timedelta(hours=-3)
    inventory.clock_jumped(Jump(back, set_by=back), clock())
    assert [] == ids(inventory)
    clock.pass_by(minutes=1)
    await inventory.refresh_all()

    assert ["cloud-1"] == ids(inventory)


async def test_a_taken_offer_is_not_listed_and_cannot_be_taken_again(
    store: Store, clock: Clock
) -> None:
    """Whoever asks for it by its id hears that it is gone."""
    inventory = await read(store, clock, ONE, TWO)

    assert inventory.claim(ONE)
    assert not inventory.claim(ONE)
    assert ids(inventory) == ["cloud-2"]
    assert inventory.find("cloud-1") == Gone("cloud-1", "cloud")


async def test_all_offers_of_a_machine_are_taken_with_one_of_them(
    store: Store, clock: Clock
) -> None:
    """Another provider's machine of the same name is another machine."""
    whole = an_offer("whole", machine_id="m1", gpu_count=8)
    part = an_offer("part", machine_id="m1", gpu_count=1)
    namesake = an_offer("x", machine_id="m1", provider="other")
    inventory = await read(store, clock, whole, part, namesake)

    assert inventory.claim(part)
    assert not inventory.claim(whole)
    assert ids(inventory) == ["other-x"]
    inventory.release(part)
    assert inventory.claim(whole)


async def test_an_offer_that_stands_for_many_machines_is_never_used_up(
    store: Store, clock: Clock
) -> None:
    """It can be claimed as often as one likes."""
    many = an_offer("1", exclusive=False)
    inventory = await read(store, clock, many)

    assert [inventory.claim(many), inventory.claim(many)] == [True, True]
    assert ids(inventory) == ["cloud-1"]


async def test_an_offer_that_is_released_is_listed_again(store: Store, clock: Clock) -> None:
    """Nothing was made of it. Releasing what is not taken changes nothing."""
    inventory = await read(store, clock, ONE, TWO)
    inventory.claim(ONE)
    inventory.release(ONE)
    inventory.release(TWO)

    assert ids(inventory) == ["cloud-1", "cloud-2"]


async def test_a_confirmed_claim_lasts_until_a_reading_that_began_after_it(
    store: Store, clock: Clock
) -> None:
    """A reading that was under way may still show the offer; the next one decides."""
    inventory = await read(store, clock, ONE)
    inventory.claim(ONE)
    clock.pass_by(seconds=1)
    inventory.confirm(ONE, clock.now)
    await inventory.refresh_all()
    assert ids(inventory) == []
    clock.pass_by(seconds=1)
    await inventory.refresh_all()

    assert ids(inventory) == ["cloud-1"]


async def test_an_unconfirmed_claim_outlives_every_reading(store: Store, clock: Clock) -> None:
    """While the outcome of a creation is open, the offer is nobody else's."""
    inventory = await read(store, clock, ONE)
    inventory.claim(ONE)
    clock.pass_by(hours=1)
    await inventory.refresh_all()

    assert ids(inventory) == []
    assert inventory.readings()["cloud"].is_ok


async def test_a_reading_that_was_under_way_does_not_give_a_rented_offer_back(
    store: Store, clock: Clock
) -> None:
    """What it shows may be from before the rental."""
    market = ScriptedMarket("cloud", ONE)
    inventory = inventory_of(store, clock, market)
    await inventory.refresh_all()
    market.answers.clear()
    market.is_asked.clear()
    reading = asyncio.create_task(inventory.refresh("cloud"))
    await market.is_asked.wait()
    clock.pass_by(seconds=1)
    inventory.claim(ONE)
    inventory.confirm(ONE, clock.now)
    clock.pass_by(seconds=1)
    market.answers.set()
    await reading

    assert ids(inventory) == []


async def test_a_stand_in_is_taken_as_well(store: Store, clock: Clock) -> None:
    """Two sessions that retry at the same time get different offers."""
    session = builders.a_session(request=a_request(auto_retry=True), offer=ONE)
    attempts = [builders.an_attempt(offer=ONE)]
    third = an_offer("3", price="0.61")
    inventory = await read(store, clock, ONE, TWO, third)

    assert inventory.stand_in(session, attempts) == TWO
    assert inventory.stand_in(session, attempts) == third
    assert inventory.stand_in(session, attempts) is None


async def test_what_a_request_keeps_secret_narrows_the_choice_too(
    store: Store, clock: Clock
) -> None:
    """A provider that takes no environment cannot serve a request that has one."""
    market = ScriptedMarket("cloud", ONE, environment=False)
    inventory = inventory_of(store, clock, market)
    await inventory.refresh_all()

    assert inventory.choose(a_request(), Confidential(env={"A": "1"})) is None
    assert inventory.choose(a_request(criteria=Criteria(max_price=Decimal("0.5")))) == ONE


async def test_a_choice_that_no_account_can_pay_takes_nothing(store: Store, clock: Clock) -> None:
    """The figures of the cheapest that fits are told; where nothing fits money is no matter."""
    inventory = await read(store, clock, ONE, TWO)
    purses = {"cloud": Purse(Decimal("0.4"))}

    with pytest.raises(InsufficientFunds, match=r"1 h of cloud-1 with 50 GB of disk costs \$0\.50"):
        inventory.choose(a_request(), purses=purses)
    assert ids(inventory) == ["cloud-1", "cloud-2"]
    nowhere = Criteria(location="Atlantis")
    assert inventory.choose(a_request(criteria=nowhere), purses=purses) is None
    purses = {"cloud": Purse(Decimal("0.5"))}
    assert inventory.choose(a_request(), purses=purses) == ONE


async def test_failures_lower_confidence_and_pass_the_offer_over(
    store: Store, clock: Clock
) -> None:
    """It stays in the list; who names no offer gets another one."""
    inventory = await read(store, clock, ONE, TWO)
    inventory.note_failure(a_failure(ONE))

    assert [row.confidence for row in inventory.listed()] == [0.7, 1.0]
    assert inventory.choose(a_request()) == TWO
    assert [t.failure.offer_id for t in inventory.troubled()] == ["cloud-1"]
    clock.pass_by(minutes=10)
    await inventory.refresh_all()
    assert inventory.choose(a_request()) == ONE
    clock.pass_by(minutes=20)
    await inventory.refresh_all()
    inventory.release(ONE)
    assert [row.confidence for row in inventory.listed()] == [1.0]


async def test_confidence_returns_when_the_failure_grows_old(store: Store, clock: Clock) -> None:
    """No reading is needed for that."""
    inventory = await read(store, clock, ONE)
    inventory.note_failure(a_failure(ONE, clock.now - minutes(29)))
    assert [row.confidence for row in inventory.listed()] == [0.7]
    clock.pass_by(minutes=1)
    assert [row.confidence for row in inventory.listed()] == [1.0]


async def test_failures_are_remembered_over_a_restart(store: Store, clock: Clock) -> None:
    """Those of the last hour, from the store."""
    unavailable = replace(a_failure(TWO), reason=Reason.PROVIDER_UNAVAILABLE)
    await add(store, session(1), failure=a_failure(ONE))
    await add(store, session(2), failure=unavailable)
    inventory = await read(store, clock, ONE, TWO)
    await inventory.load()

    assert [row.confidence for row in inventory.listed()] == [0.7, 1.0]


async def test_a_change_of_a_session_tells_of_its_failure(store: Store, clock: Clock) -> None:
    """The inventory listens to the journal."""
    inventory = await read(store, clock, ONE)
    session = builders.a_session()
    inventory.session_changed(Change(Effect.REFUSE, session), session)
    assert inventory.troubled() == ()
    inventory.session_changed(Change(Effect.REFUSE, session, failure=a_failure(ONE)), session)

    assert len(inventory.troubled()) == 1


def a_verification(offer: Offer, clock: Clock) -> Change:
    """A machine of `offer` was proved now."""
    session = store_examples.session(offer=offer, created_at=clock.now)
    attempt = store_examples.attempt(session, verified_at=clock.now)
    return Change(Effect.VERIFY, session, attempt)


async def test_a_place_is_believed_by_what_became_of_its_offers(store: Store, clock: Clock) -> None:
    """Where the listing names no machines: from the moment on at which the journal tells it."""
    one, two = (replace(offer, machine_id=None, prior=0.3) for offer in (ONE, TWO))
    inventory = await read(store, clock, one, two)

    def believed() -> list[float]:
        return [row.confidence for row in inventory.listed()]

    verification = a_verification(one, clock)
    revision = inventory.revision
    inventory.session_changed(verification, verification.session)
    assert believed() == [0.533, 0.533]
    assert inventory.revision != revision
    later = replace(verification, name="extend")
    inventory.session_changed(later, later.session)
    assert believed() == [0.533, 0.533]
    inventory.note_failure(replace(a_failure(one, clock.now), reason=Reason.OFFER_GONE))
    assert believed() == [0.373, 0.4]
    clock.pass_by(minutes=59)
    await inventory.refresh_all()
    assert believed() == [0.533, 0.533]
    clock.pass_by(minutes=1)
    assert believed() == [0.3, 0.3]


async def test_a_machine_that_is_named_changes_nothing_by_working(
    store: Store, clock: Clock
) -> None:
    """What is shown stays the same, and so does its ETag."""
    inventory = await read(store, clock, ONE, TWO)
    verification = a_verification(ONE, clock)
    revision = inventory.revision
    inventory.session_changed(verification, verification.session)

    assert inventory.revision == revision


async def test_machines_that_worked_are_remembered_over_a_restart(
    store: Store, clock: Clock
) -> None:
    """Those of the last hour, from the attempts in the store."""
    one, two = (replace(offer, machine_id=None, prior=0.3) for offer in (ONE, TWO))
    verification = a_verification(one, clock)
    await store.add_session(verification, Confidential())
    clock.pass_by(minutes=59)
    inventory = await read(store, clock, one, two)
    await inventory.load()

    assert [row.confidence for row in inventory.listed()] == [0.533, 0.533]


async def test_a_provider_that_is_not_configured_is_named_with_those_that_are(
    store: Store, clock: Clock
) -> None:
    """Nothing at all is known of no provider."""
    inventory = await read(store, clock)

    assert [] == [
        *inventory.misnamed_provider({}),
        *inventory.misnamed_provider({"provider": "cloud"}),
    ]
    (problem,) = inventory.misnamed_provider({"provider": "clod"})
    assert ("provider", True) == (problem.field, "cloud" in problem.message)
