"""What the store keeps beside sessions: events, money, failures, sightings, secrets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from broker.decide.meter import moved
from broker.effects import Effect
from broker.errors import StaleWrite, StartupError, StoreFailed
from broker.model import Change, Confidential, Event, Failure, Meter, Reason, Status
from broker.store import Store
from tests.builders import NOW, a_sighting
from tests.service.store_examples import (
    HOUR,
    accrual,
    add,
    attempt,
    names_in,
    offer,
    opened,
    recorded,
    session,
)

SECRET = Confidential({"TOKEN": "a-secret-of-the-consumer"}, "echo another-secret")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store on a fresh database."""
    async with opened(tmp_path) as one:
        yield one


def failure(hour: int, reason: Reason = Reason.BOOT_TIMEOUT) -> Failure:
    """What went wrong some hours after NOW."""
    return Failure("simulator-1", "simulator", "H100", reason, NOW + hour * HOUR, "m1", "Oslo, NO")


async def test_events_come_in_the_order_of_their_commits(store: Store) -> None:
    """With ascending ids, from the one that the reader has seen on."""
    data = {"figures": [1, 2.5, None], "nested": {"ä": True}}
    orphan = await store.add_event(Event("orphan.seen", NOW, None, data))
    of = await add(store, session(1))
    await store.commit(
        Change("change", of, events=(Event("a", NOW, of.id), Event("b", NOW, of.id)))
    )
    events = await store.events()
    assert ["orphan.seen", "session.created", "a", "b"] == [event.type for event in events]
    assert orphan == events[0]
    assert sorted({event.id for event in events}) == [event.id for event in events]
    assert events[2:] == await store.events(after=events[1].id or 0)
    assert events[1:3] == await store.events(session_id=of.id, limit=2)


async def test_a_session_tells_all_its_events_however_many(store: Store) -> None:
    """The last ones say how it ended."""
    of = await add(store, session(1))
    many = tuple(Event(str(n), NOW, of.id) for n in range(1_500))
    await store.commit(Change("change", of, events=many))

    events = await store.events(session_id=of.id)
    assert ["session.created", *map(str, range(1_500))] == [event.type for event in events]


async def test_an_event_may_name_a_session_that_is_not_recorded(store: Store) -> None:
    """An orphan's label does."""
    event = await store.add_event(Event("orphan.seen", NOW, "sess-unknown"))
    assert [event] == await store.events(session_id="sess-unknown")


async def test_a_meter_runs_until_it_is_closed(store: Store) -> None:
    """Opened by one change, repriced and closed by others: one stretch."""
    of = await add(store, session(1))
    of = await store.commit(Change("accept", of, accrual=accrual(of)))
    priced = accrual(of, price_per_hour=Decimal("0.20"))
    of = await store.commit(Change("reprice", of, accrual=priced))
    assert [priced] == await store.accruals()
    ended = replace(priced, ends_at=NOW + HOUR)
    of = await store.commit(Change("gone", of, accrual=ended))
    assert [ended] == await store.accruals()
    corrected = replace(ended, ends_at=NOW + 2 * HOUR)
    await store.commit(Change("correct", of, accrual=corrected))
    assert [corrected] == await store.accruals()


async def test_a_meter_keeps_its_beginning(store: Store) -> None:
    """An attempt has one meter, and nothing but the wall clock moves where it begins."""
    of = await add(store, session(1))
    of = await store.commit(Change("accept", of, accrual=accrual(of)))
    await store.commit(Change("close", of, accrual=accrual(of, begins_at=NOW - HOUR, ends_at=NOW)))
    assert [accrual(of, ends_at=NOW)] == await store.accruals()


@pytest.mark.parametrize("by", [2 * HOUR, -2 * HOUR])
async def test_meters_follow_the_wall_clock_until_their_session_is_over(
    store: Store, by: timedelta
) -> None:
    """Those that stand go with those that run: what they lasted they last."""
    live, other = await add(store, session(1)), await add(store, session(2))
    stands = accrual(live, ends_at=NOW + HOUR)
    runs = accrual(live, attempt=2, begins_at=NOW + HOUR)
    for one in (stands, runs):
        live = await store.commit(Change("accept", live, accrual=one))
    over = accrual(other, begins_at=NOW + 3 * HOUR, ends_at=NOW + 4 * HOUR)
    ended = replace(other, status=Status.STOPPED)
    await store.commit(Change("gone", ended, accrual=over))

    await store.follow_clock(by)
    assert {over, moved(stands, by), moved(runs, by)} == set(await store.accruals())


async def test_whoever_read_a_session_before_the_clock_was_set_reads_it_again(
    store: Store,
) -> None:
    """Otherwise what one clock has shown would stand beside what the other shows."""
    of = await add(store, session(1))
    await store.follow_clock(HOUR)
    with pytest.raises(StaleWrite):
        await store.commit(Change("accept", of, accrual=accrual(of)))
    again = await store.session(of.id)
    assert again is not None
    await store.commit(Change("accept", again, accrual=accrual(of)))


async def test_each_attempt_has_a_meter_of_its_own(store: Store) -> None:
    """A retry does not touch what the former attempt has cost."""
    of = await add(store, session(1))
    first = accrual(of, ends_at=NOW + HOUR)
    second = accrual(of, attempt=2, begins_at=NOW + HOUR)
    of = await store.commit(Change("gone", of, accrual=first))
    await store.commit(Change("accept", of, accrual=second))
    assert [first, second] == await store.accruals(session_id=of.id)


async def test_a_meter_that_was_closed_can_run_again(store: Store) -> None:
    """As if it had not been closed."""
    of = await add(store, session(1))
    of = await store.commit(Change("close", of, accrual=accrual(of, ends_at=NOW + HOUR)))
    await store.commit(Change("open", of, accrual=accrual(of)))
    assert [accrual(of)] == await store.accruals()


async def test_accruals_that_reach_into_a_window_are_told(store: Store) -> None:
    """Open ones reach as far as they please; touching the edge is not reaching in."""
    stretches = {"1": (0, 1), "2": (1, 3), "3": (4, None), "4": (6, 7)}
    for n, (begin, end) in stretches.items():
        of = await add(store, session(int(n), f"consumer-{n}"))
        ends_at = None if end is None else NOW + end * HOUR
        meter = accrual(of, begins_at=NOW + begin * HOUR, ends_at=ends_at)
        await store.commit(Change("accept", of, accrual=meter))

    async def found(**conditions: object) -> list[str]:
        told = await store.accruals(**conditions)  # type: ignore[arg-type]
        return [one.consumer_id[-1] for one in told]

    assert ["2", "3"] == await found(ends_after=NOW + HOUR, begins_before=NOW + 6 * HOUR)
    assert ["1"] == await found(begins_before=NOW + HOUR)
    assert ["3", "4"] == await found(ends_after=NOW + 3 * HOUR)
    assert ["3"] == await found(ends_after=NOW + 9 * HOUR)
    assert ["2"] == await found(consumer_id="consumer-2")
    assert ["1", "4"] == await found(session_ids=[session(4).id, session(1).id])
    assert [] == await found(session_ids=[])


async def test_the_meters_are_those_of_the_live_sessions(store: Store) -> None:
    """With every stretch of theirs, running until the machine is proved gone; or with none."""
    first = await add(store, session(1))
    former = accrual(first, ends_at=NOW + HOUR)
    over = attempt(first, gone_at=NOW + HOUR)
    first = await store.commit(Change("gone", first, over, accrual=former))
    ending = accrual(first, attempt=2, begins_at=NOW + HOUR, ends_at=NOW + 2 * HOUR)
    await store.commit(Change("destroying", first, attempt(first, 2), accrual=ending))
    final = await add(store, session(2, status=Status.STOPPED))
    await store.commit(Change("gone", final, accrual=accrual(final, ends_at=NOW)))
    await add(store, session(3, "another"))

    mine = [Meter(first.id, former), Meter(first.id, ending, is_running=True)]
    assert [*mine, Meter(session(3).id)] == await store.meters()
    assert mine == await store.meters("somebody")


async def test_verified_attempts_are_found_by_the_time_of_their_verification(store: Store) -> None:
    """Oldest first, whatever became of them later; not those of sessions older than a day."""
    verified_at = {1: NOW + 3 * HOUR, 2: NOW + 2 * HOUR, 3: NOW + HOUR, 4: None, 5: NOW + 2 * HOUR}
    found = {}
    for n, instant in verified_at.items():
        created_at = NOW - 30 * HOUR if n == 5 else NOW
        of = session(n, created_at=created_at, status=Status.STOPPED)
        found[n] = attempt(of, verified_at=instant, ended_at=NOW + 4 * HOUR)
        await add(store, of, attempt=found[n])

    assert [found[2], found[1]] == await store.verified_attempts(NOW + 2 * HOUR)


async def test_failures_are_remembered_and_forgotten(store: Store) -> None:
    """Those of changes, until they are too old."""
    of = await add(store, session(1))
    await store.commit(Change("doom", of, failure=failure(2)))
    await add(store, session(2), failure=failure(1))
    await add(store, session(3), failure=replace(failure(3), machine_id=None, location=None))
    assert [failure(2), replace(failure(3), machine_id=None, location=None)] == (
        await store.failures(NOW + 2 * HOUR)
    )
    await store.prune_failures(NOW + 2 * HOUR)
    assert [2, 3] == [(one.created_at - NOW) // HOUR for one in await store.failures(NOW)]


async def test_the_sightings_of_a_provider_are_replaced_together(store: Store) -> None:
    """Those of the others stay."""
    mine = [a_sighting(instance_id=f"i-{n}", destroy_asked_at=NOW) for n in (1, 2)]
    theirs = a_sighting(provider="other")
    await store.save_sightings("simulator", mine)
    await store.save_sightings("other", [theirs])
    assert mine == await store.sightings("simulator")
    seen_again = replace(mine[1], count=2, last_seen_at=NOW + HOUR)
    await store.save_sightings("simulator", [seen_again])
    assert [seen_again] == await store.sightings("simulator")
    await store.save_sightings("simulator", [])
    assert ([], [theirs]) == (await store.sightings("simulator"), await store.sightings("other"))


async def test_where_machines_that_no_session_holds_may_be_is_known(store: Store) -> None:
    """Seen in the last list, or still to appear after a lost reply, as long as that may be."""
    late = session(1, offer=offer(1, provider="late"))
    of = await add(store, late)
    tombstone = attempt(late, tombstone_until=NOW + HOUR)
    await store.commit(Change(Effect.BURY, of, tombstone))
    await store.save_sightings("seen", [a_sighting(provider="seen")])

    assert {"late", "seen"} == set(await store.providers_of_strays(NOW))
    assert ["seen"] == await store.providers_of_strays(NOW + HOUR)


async def test_the_database_keeps_values_of_its_own(store: Store) -> None:
    """They can be set again; what was never set is none."""
    await store.set_meta("deployment_id", "home")
    await store.set_meta("deployment_id", "abroad")
    assert ("abroad", None) == (await store.meta("deployment_id"), await store.meta("else"))


async def test_what_is_confidential_is_told_to_the_launch_and_then_forgotten(store: Store) -> None:
    """Changes keep it until one says that it is not needed any more."""
    of = await store.add_session(recorded(session(1)), SECRET)
    of = await store.commit(Change("launch", replace(of, status=Status.PROVISIONING)))
    assert SECRET == await store.confidential(of.id)
    await store.commit(Change("end", of, forget_confidential=True))
    assert Confidential() == await store.confidential(of.id)


async def test_nothing_confidential_is_empty(store: Store) -> None:
    """Also of a session that is not there."""
    of = await add(store, session(1))
    empty = await store.confidential(of.id), await store.confidential("sess-unknown")
    assert (Confidential(), Confidential()) == empty


async def test_what_is_confidential_cannot_be_read_in_the_files(tmp_path: Path) -> None:
    """Neither while the store is open nor afterwards."""

    def bytes_on_disk() -> bytes:
        return b"".join(file.read_bytes() for file in tmp_path.iterdir())

    async with opened(tmp_path) as store:
        await store.add_session(recorded(session(1)), SECRET)
        on_disk = bytes_on_disk()
    on_disk += bytes_on_disk()
    assert b"somebody" in on_disk
    assert [b"a-secret", b"another-secret", b"TOKEN"] == [
        word for word in (b"a-secret", b"another-secret", b"TOKEN") if word not in on_disk
    ]


async def test_what_was_sealed_with_another_key_is_an_error(tmp_path: Path) -> None:
    """An empty environment would be a lie."""
    async with opened(tmp_path) as store:
        await store.add_session(recorded(session(1)), SECRET)
    async with opened(tmp_path, key=Fernet.generate_key()) as store:
        with pytest.raises(StoreFailed, match="another key"):
            await store.confidential(session(1).id)


async def test_a_key_that_is_none_is_refused(tmp_path: Path) -> None:
    """Before anything is made; and it is not repeated in the message."""
    with pytest.raises(StartupError, match="Fernet key") as refused:
        async with opened(tmp_path, key=b"not-a-key"):
            pass
    assert "not-a-key" not in str(refused.value)
    assert [] == names_in(tmp_path)


async def test_an_attempt_that_is_recorded_late_belongs_to_its_session(store: Store) -> None:
    """There are no attempts of nobody."""
    of = await add(store, session(1))
    stray = attempt(replace(of, id="sess-unknown"))
    with pytest.raises(StoreFailed):
        await store.commit(Change("stray", of, stray))
    assert of == await store.session(of.id)


async def test_an_expired_failure_is_told_by_its_instant(store: Store) -> None:
    """The border belongs to those that are told."""
    await add(store, session(1), failure=failure(1))
    told = [await store.failures(NOW + HOUR + timedelta(microseconds=n)) for n in (0, 1)]
    assert [[failure(1)], []] == told
