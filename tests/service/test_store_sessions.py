"""Sessions in the store: nothing is lost on the way, and of two writers one loses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import fields, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from broker.errors import DuplicateSession, StaleWrite, StoreFailed
from broker.model import (
    Access,
    Attempt,
    Change,
    Criteria,
    Event,
    Outcome,
    Reason,
    Session,
    Status,
    Wanted,
    Watch,
)
from broker.store import Store
from providers.base import Endpoint, LaunchMode
from tests import builders
from tests.builders import NOW
from tests.service.store_examples import HOUR, add, attempt, offer, opened, recorded, session


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store on a fresh database."""
    async with opened(tmp_path) as one:
        yield one


def full_session() -> Session:
    """A session with something of its own in every field."""
    request = builders.a_request(
        criteria=Criteria(gpu_type="H100", max_price=Decimal("2.50"), min_reliability=0.9),
        launch_mode=LaunchMode.ENTRYPOINT,
        exposed_ports=(8000, 8001),
        idle_threshold=timedelta(minutes=7),
        hard_max_override=timedelta(days=2),
        name="run 7",
        labels={"team": "á"},
    )
    access = Access(
        ssh=Endpoint("192.0.2.7", 2201),
        ssh_user="root",
        ports={8000: Endpoint("192.0.2.7", 40001)},
        api_endpoint="http://192.0.2.7:40001",
        known_hosts=("[192.0.2.7]:2201 ssh-ed25519 AAAA",),
    )
    return builders.a_session(
        request=request,
        access=access,
        status=Status.STOPPING,
        wanted=Wanted.GONE,
        price_per_hour=Decimal("0.3600"),
        version=3,
        attempt=2,
        instance_id="4711",
        image="nvidia/cuda:12",
        reason=Reason.IDLE,
        error="It was idle.",
        due_at=NOW + timedelta(minutes=1),
        running_at=NOW + timedelta(minutes=2),
        stopped_at=NOW + timedelta(minutes=3),
        lost_since=NOW + timedelta(minutes=4),
        idle_since=NOW + timedelta(minutes=5),
        warned_for=NOW + timedelta(minutes=6),
    )


def full_attempt(of: Session) -> Attempt:
    """An attempt with something of its own in every field."""
    words = {"reason": Reason.SSH_TIMEOUT, "detail": "No login.", "outcome": Outcome.FAILED}
    instants = [field.name for field in fields(Attempt) if field.name.endswith(("_at", "_until"))]
    given = {name: NOW + timedelta(seconds=n) for n, name in enumerate(instants)}
    return attempt(of, instance_id="4711", unknown_since=NOW, **words, **given)


async def test_a_session_comes_back_as_it_was_recorded(store: Store) -> None:
    """In every field."""
    whole = full_session()
    assert whole == await add(store, whole)
    assert whole == await store.session(whole.id)


async def test_a_session_comes_back_as_it_was_changed(store: Store) -> None:
    """In every field, with the next version."""
    before = await add(store, builders.a_session())
    after = await store.commit(Change("change", replace(full_session(), version=before.version)))
    assert replace(full_session(), version=1) == after
    assert after == await store.session(before.id)


async def test_an_attempt_comes_back_as_it_was_recorded_and_changed(store: Store) -> None:
    """In every field; a later one stands behind it."""
    of = await add(store, session())
    first, second = full_attempt(of), replace(full_attempt(of), n=2, label="label-2")
    of = await store.commit(Change("change", of, first))
    await store.commit(Change("retry", of, second))
    assert {of.id: (first, second)} == await store.attempts([of.id])


async def test_a_session_is_read_together_with_its_current_attempt(store: Store) -> None:
    """Never with an earlier one; nothing where there is no such session."""
    of = await add(store, session(1))
    assert (of, attempt(of)) == await store.current(of.id)
    second = attempt(of, 2, reason=Reason.BOOT_TIMEOUT, gone_at=NOW)
    of = await store.commit(Change("retry", replace(of, attempt=2), second))
    assert (of, second) == await store.current(of.id)
    assert await store.current("sess-unknown") is None


async def test_attempts_are_told_for_every_session_that_is_asked_for(store: Store) -> None:
    """A session without one has none; it is not left out."""
    await add(store, session(1))
    await add(store, session(2))
    found = await store.attempts([session(2).id, "sess-unknown"])
    assert {session(2).id: (attempt(session(2)),), "sess-unknown": ()} == found


async def test_a_session_that_nobody_recorded_is_none(store: Store) -> None:
    """Not an error: the caller knows what to say."""
    assert await store.session("sess-unknown") is None


async def test_a_stale_writer_loses(store: Store) -> None:
    """The writer who has read before another wrote changes nothing."""
    read = await add(store, session())
    won = await store.commit(Change("extend", replace(read, expires_at=NOW + 2 * HOUR)))
    with pytest.raises(StaleWrite):
        await store.commit(Change("verify", replace(read, status=Status.RUNNING)))
    assert won == await store.session(read.id)


async def test_of_many_writers_at_once_one_wins(store: Store) -> None:
    """Also when they are committed together."""
    read = await add(store, session())
    changes = [Change("name", replace(read, error=f"{n}")) for n in range(10)]
    outcomes = await asyncio.gather(*map(store.commit, changes), return_exceptions=True)
    winners = [one for one in outcomes if isinstance(one, Session)]
    assert [await store.session(read.id)] == winners
    assert 9 == sum(isinstance(one, StaleWrite) for one in outcomes)


async def test_nobody_changes_a_session_that_is_not_there(store: Store) -> None:
    """It was never read, so the write is stale."""
    with pytest.raises(StaleWrite):
        await store.commit(Change("change", session()))


async def test_a_change_that_loses_leaves_no_trace(store: Store) -> None:
    """Its events, its attempt and its failure are written with it or not at all."""
    read = await add(store, session())
    await store.commit(Change("first", read))
    event = Event("session.running", NOW, read.id)
    lost = Change("second", read, attempt(read, 2), (event,))
    with pytest.raises(StaleWrite):
        await store.commit(lost)
    assert ["session.created"] == [one.type for one in await store.events()]
    assert {read.id: (attempt(read),)} == await store.attempts([read.id])


@pytest.mark.parametrize(
    "status", [Status.PENDING, Status.PROVISIONING, Status.RUNNING, Status.STOPPING]
)
async def test_a_consumer_has_one_live_session_of_an_offer(store: Store, status: Status) -> None:
    """The second is told of the first, whatever it is doing."""
    first = await add(store, session(1, status=status))
    with pytest.raises(DuplicateSession) as refused:
        await add(store, session(2, offer=offer(1)))
    assert first.id == refused.value.session_id
    assert first.id == await store.live_session("somebody", offer(1).id)
    assert [first.id] == await store.open_ids()


async def test_of_four_identical_requests_at_once_one_wins(store: Store) -> None:
    """The others are told of the winner, and leave nothing behind."""
    twins = [session(n, offer=offer(1)) for n in range(1, 5)]
    outcomes = await asyncio.gather(*(add(store, one) for one in twins), return_exceptions=True)
    winners = [one for one in outcomes if isinstance(one, Session)]
    told = [one.session_id for one in outcomes if isinstance(one, DuplicateSession)]
    assert 1 == len(winners)
    assert [winners[0].id] * 3 == told
    assert 1 == len(await store.events())


@pytest.mark.parametrize("status", [Status.STOPPED, Status.FAILED])
async def test_an_ended_session_is_in_nobodys_way(store: Store, status: Status) -> None:
    """The same consumer can have the offer again, and so can another one at any time."""
    await add(store, session(1, status=status))
    again = await add(store, session(2, offer=offer(1)))
    await add(store, session(3, "somebody else", offer=offer(1)))
    assert again.id == await store.live_session("somebody", offer(1).id)
    assert await store.live_session("nobody", offer(1).id) is None


async def test_a_retry_cannot_move_to_an_offer_that_the_consumer_has(store: Store) -> None:
    """The other session keeps it, and the retrying one stays where it was."""
    has = await add(store, session(1))
    moving = await add(store, session(2))
    with pytest.raises(DuplicateSession) as refused:
        await store.commit(Change("retry", replace(moving, offer=offer(1), attempt=2)))
    assert has.id == refused.value.session_id
    assert moving == await store.session(moving.id)


async def test_one_that_loses_does_not_take_the_others_with_it(store: Store) -> None:
    """Changes that are committed together stand or fall each by itself."""
    first = await add(store, session(1))
    outcomes = await asyncio.gather(
        add(store, session(2)),
        store.commit(Change("stale", replace(first, version=7))),
        add(store, session(3, offer=offer(1))),
        add(store, session(4)),
        return_exceptions=True,
    )
    kinds = [type(one) for one in outcomes]
    assert [Session, StaleWrite, DuplicateSession, Session] == kinds
    assert [session(n).id for n in (1, 2, 4)] == await store.open_ids()


async def test_an_id_is_given_once(store: Store) -> None:
    """A second session of the same id is a fault, and not of the consumer's making."""
    await add(store, session(1))
    with pytest.raises(StoreFailed):
        await add(store, replace(session(2), id=session(1).id))


async def test_a_watch_has_what_a_sweep_decides_with(store: Store) -> None:
    """What became of a machine is the current attempt's."""
    of = await add(store, full_session())
    current = attempt(
        of,
        2,
        accepted_at=NOW + HOUR,
        reason=Reason.WRONG_GPU,
        destroy_accepted_at=NOW + 2 * HOUR,
        ended_at=NOW + 3 * HOUR,
    )
    await store.commit(Change("retry", of, current))
    expected = Watch(
        id=of.id,
        version=4,
        status=of.status,
        wanted=of.wanted,
        provider="simulator",
        attempt=2,
        instance_id="4711",
        accepted_at=NOW + HOUR,
        expires_at=of.expires_at,
        hard_max_at=of.hard_max_at,
        idle_threshold=timedelta(minutes=7),
        managed_access=True,
        idle_since=of.idle_since,
        lost_since=of.lost_since,
        warned_for=of.warned_for,
        held_until=of.held_until,
        due_at=of.due_at,
        failed_for=Reason.WRONG_GPU,
        destroy_accepted_at=NOW + 2 * HOUR,
        ended_at=NOW + 3 * HOUR,
    )
    assert [[expected]] == [page async for page in store.watches()]


async def test_an_instant_without_a_zone_is_not_written(store: Store) -> None:
    """The write fails as a whole."""
    with pytest.raises(StoreFailed):
        await add(store, session(1, due_at=NOW.replace(tzinfo=None)))
    assert await store.session(session(1).id) is None


async def test_a_recorded_change_is_what_the_builders_say(store: Store) -> None:
    """Session, attempt and event are all there after one call."""
    change = recorded(session(1))
    await add(store, session(1))
    (event,) = await store.events(session_id=session(1).id)
    assert change.events == (replace(event, id=None),)
    assert {session(1).id: (change.attempt,)} == await store.attempts([session(1).id])
