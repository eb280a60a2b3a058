"""What the store tells of many sessions: lists, watches, leases, holders, counts."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest

from broker.decide.leaks import unwanted
from broker.decide.lease import EXPIRY_WARNING
from broker.decide.plan import plan_sessions
from broker.effects import Effect
from broker.model import FINAL, Change, Holder, Overview, Reason, Status, Version, Wanted
from broker.store import Store
from tests.builders import NOW
from tests.service.store_examples import HOUR, accrual, add, attempt, offer, opened, session


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store on a fresh database."""
    async with opened(tmp_path) as one:
        yield one


async def test_sessions_are_listed_newest_first_page_by_page(store: Store) -> None:
    """With the number of all that match."""
    for n in (2, 1, 3):
        await add(store, session(n))
    ids = {n: session(n).id for n in (1, 2, 3)}
    pages = [await store.versions(limit=2, offset=offset) for offset in (0, 2, 4)]
    assert [[ids[3], ids[2]], [ids[1]], []] == [[one.id for one in page] for page, _ in pages]
    assert [3, 3, 3] == [total for _, total in pages]


async def test_without_a_limit_all_sessions_are_listed(store: Store) -> None:
    """Ties in time are in the order of their ids."""
    for n in (2, 1, 3):
        await add(store, session(n, created_at=NOW))
    listed, total = await store.versions()
    assert ([session(n).id for n in (1, 2, 3)], 3) == ([one.id for one in listed], total)
    assert ([], 3) == await store.versions(offset=5)


async def test_sessions_are_filtered_by_consumer_status_and_provider(store: Store) -> None:
    """Each condition by itself, and together."""
    await add(store, session(1, "ann"))
    await add(store, session(2, "ann", status=Status.RUNNING))
    await add(store, session(3, "bob", status=Status.RUNNING, offer=offer(3, "other")))
    live = [Status.RUNNING, Status.STOPPING]

    async def found(**conditions: object) -> list[str]:
        listed, total = await store.versions(**conditions)  # type: ignore[arg-type]
        assert total == len(listed)
        return [one.id[-1] for one in listed]

    assert ["2", "1"] == await found(consumer_id="ann")
    assert ["3", "2"] == await found(statuses=live)
    assert ["3"] == await found(provider="other")
    assert ["2"] == await found(consumer_id="ann", statuses=live, provider="simulator")
    assert [] == await found(consumer_id="ann", provider="other")


async def test_open_sessions_are_those_that_are_not_final_oldest_first(store: Store) -> None:
    """What a start takes up again."""
    for n, status in enumerate(Status):
        await add(store, session(9 - n, status=status))
    assert [session(n).id for n in (6, 7, 8, 9)] == await store.open_ids()


async def test_watches_are_all_sessions_that_are_not_final(store: Store) -> None:
    """Each of them once, however many pages they take."""
    live = [session(n) for n in range(1, 1203)]
    ended = [session(n, status=Status.STOPPED) for n in range(1203, 1250)]
    await asyncio.gather(*(add(store, one) for one in [*live, *ended]))
    pages = [page async for page in store.watches()]
    assert [500, 500, 202] == [len(page) for page in pages]
    assert [one.id for one in live] == [watch.id for page in pages for watch in page]


async def test_the_restless_are_all_that_the_records_alone_ask_anything_for(store: Store) -> None:
    """A sweep without lists decides the same with them as with all sessions, and reads few."""
    kinds = itertools.product(
        [status for status in Status if status not in FINAL],
        Wanted,
        (-HOUR, timedelta(minutes=4), HOUR),
        (None, Reason.BOOT_TIMEOUT),
        (None, NOW + HOUR / 2),
    )
    for n, (status, wanted, left, reason, held_until) in enumerate(kinds, 1):
        of = session(n, status=status, wanted=wanted, expires_at=NOW + left, held_until=held_until)
        tried = attempt(of, reason=reason, instance_id=f"i-{n}", accepted_at=NOW - 2 * HOUR)
        await add(store, of, attempt=tried)
    everyone = [watch async for page in store.watches() for watch in page]

    restless = await store.restless(NOW + EXPIRY_WARNING)

    assert len(restless) < len(everyone)
    assert set(plan_sessions(everyone, NOW)) == set(plan_sessions(restless, NOW))
    assert unwanted(everyone, NOW) == unwanted(restless, NOW)


async def test_the_sessions_that_end_when_idle_are_told(store: Store) -> None:
    """Not the others, which are most."""
    for n, threshold in enumerate((None, timedelta(minutes=5)), 1):
        of = session(n)
        await add(store, replace(of, request=replace(of.request, idle_threshold=threshold)))
    assert [session(2).id] == [watch.id for watch in await store.watched_for_idleness()]


async def test_a_lease_is_over_at_its_end_or_at_the_hard_maximum(store: Store) -> None:
    """Whichever comes first; at the instant itself it is over."""
    await add(store, session(1, expires_at=NOW + 3 * HOUR, hard_max_at=NOW + 2 * HOUR))
    await add(store, session(2, expires_at=NOW + 4 * HOUR, hard_max_at=NOW + 9 * HOUR))
    instants = [NOW + 2 * HOUR - timedelta(microseconds=1), NOW + 2 * HOUR, NOW + 4 * HOUR]
    due = [[watch.id[-1] for watch in await store.due(instant)] for instant in instants]
    assert [[], ["1"], ["1", "2"]] == due


async def test_a_lease_binds_from_the_first_instant_on(store: Store) -> None:
    """In every status in which a session is wanted, not only where its machine works."""
    statuses = [Status.PENDING, Status.PROVISIONING, Status.RUNNING]
    for n, status in enumerate(statuses, 1):
        await add(store, session(n, status=status, expires_at=NOW))
    assert statuses == [watch.status for watch in await store.due(NOW)]


async def test_the_next_lease_to_end_is_told(store: Store) -> None:
    """Now, where one is over already; never, where none runs."""
    assert await store.next_due(NOW) is None
    await add(store, session(1))
    await add(store, session(2, expires_at=NOW + 5 * HOUR))
    later = NOW + 2 * HOUR
    assert [NOW + HOUR, later] == [await store.next_due(NOW), await store.next_due(later)]


async def test_what_is_ended_or_ending_has_no_lease(store: Store) -> None:
    """Whatever instant stands in it."""
    await add(store, session(1, wanted=Wanted.GONE, status=Status.STOPPING))
    await add(store, session(2, status=Status.FAILED))
    assert ([], None) == (await store.due(NOW + 9 * HOUR), await store.next_due(NOW))


async def test_instants_compare_across_zones(store: Store) -> None:
    """An end that was given in another zone is due at the same instant."""
    tokyo = timezone(timedelta(hours=9))
    end = datetime(2026, 3, 2, 4, 0, tzinfo=tokyo)
    await add(store, session(1, expires_at=end))
    in_utc = datetime(2026, 3, 1, 19, 0, tzinfo=UTC)
    assert in_utc == await store.next_due(NOW)
    assert [] == await store.due(in_utc - timedelta(seconds=1))
    assert 1 == len(await store.due(in_utc))


async def test_a_holder_tells_what_its_current_attempt_holds(store: Store) -> None:
    """With the tombstones of former ones; who is not recorded is left out."""
    until = NOW + HOUR
    of = await add(store, session(1))
    buried = attempt(of, 1, ended_at=NOW, tombstone_until=until)
    of = await store.commit(Change(Effect.BURY, of, buried))
    of = await store.commit(
        Change(Effect.RETRY, replace(of, attempt=2, instance_id="4711"), attempt(of, 2))
    )
    plain = await add(store, session(2, status=Status.RUNNING))
    expected = {
        of.id: Holder(of.id, Status.PENDING, 2, "4711", is_closed=False, tombstones={1: until}),
        plain.id: Holder(plain.id, Status.RUNNING, 1, None, is_closed=False),
    }
    assert expected == await store.holders([plain.id, of.id, "sess-unknown"])


async def test_a_holder_whose_current_attempt_is_over_is_closed(store: Store) -> None:
    """Between two attempts nothing is held."""
    of = await add(store, session(1))
    await store.commit(Change(Effect.GONE, of, attempt(of, 1, ended_at=NOW)))
    assert {of.id: True} == {
        name: one.is_closed for name, one in (await store.holders([of.id])).items()
    }


async def test_an_overview_has_every_attempt_and_everything_that_was_billed(store: Store) -> None:
    """In their order, each once; of the sessions that exist."""
    first_bill = accrual(session(1), ends_at=NOW + HOUR)
    of = await add(store, session(1), accrual=first_bill)
    second = attempt(of, 2)
    of = await store.commit(Change(Effect.RETRY, replace(of, attempt=2), second))
    again = accrual(of, begins_at=NOW + HOUR, price_per_hour=Decimal("0.20"))
    of = await store.commit(Change(Effect.REPRICE, of, accrual=again))
    other = await add(store, session(2), attempt=None)
    whole = Overview(of, (attempt(of), second), (first_bill, again))

    assert whole == await store.overview(of.id)
    assert await store.overview("sess-unknown") is None
    assert {of.id: whole, other.id: Overview(other, (), ())} == await store.overviews(
        [other.id, "sess-unknown", of.id]
    )


async def test_every_commit_is_another_version(store: Store) -> None:
    """Whatever of the session it changes: who has seen a version has seen all that it says."""
    of = await add(store, session(1))
    versions = [await store.versions()]
    for change in (
        Change(Effect.DESTROY_AGAIN, of, attempt(of)),
        Change(Effect.DESTROYING, of, accrual=accrual(of)),
    ):
        of = await store.commit(replace(change, session=of))
        versions.append(await store.versions())

    assert [([Version(of.id, n)], 1) for n in (0, 1, 2)] == versions


async def test_sessions_are_counted_by_provider_and_status(store: Store) -> None:
    """For the gauges; ended ones too."""
    await add(store, session(1))
    await add(store, session(2))
    await add(store, session(3, status=Status.FAILED))
    await add(store, session(4, offer=offer(4, "other")))
    expected = {
        ("simulator", Status.PENDING): 2,
        ("simulator", Status.FAILED): 1,
        ("other", Status.PENDING): 1,
    }
    assert expected == await store.counts()


async def test_many_sessions_can_be_asked_for_at_once(store: Store) -> None:
    """More than SQLite takes parameters."""
    ids = [f"sess-{n}" for n in range(40_000)]
    assert 40_000 == len(await store.attempts(ids))
    assert {} == await store.holders(ids)
