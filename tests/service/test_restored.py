"""A broker on the database of yesterday neither kills today's machines at once nor forgets them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from broker.app import sweep_once
from broker.app.backups import back_up, restore
from broker.clock import utcnow
from broker.effects import Effect
from broker.errors import StartupError
from broker.model import Change, Session
from providers.base import LaunchSpec
from providers.label import Label, parse_label
from tests.service.conftest import UNHURRIED, Broker, Serve
from tests.service.scenarios import (
    FOR_EVER,
    assert_sound,
    ended,
    kinds,
    market,
    reconciled,
    running,
    shorten,
)
from tests.service.test_restart import bills, delete, made, recorded, sent
from tests.waiting import eventually

PATIENT = {"lifecycle__orphan_grace_period": "1h"}
SOON = {"lifecycle__orphan_grace_period": "5s"}
"""Enough to look around in."""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Where the copy of yesterday is."""
    return tmp_path / "copy.db"


async def alive(broker: Broker) -> set[str]:
    """The labels of the machines that the account holds."""
    return {one.label or "" for one in await market(broker).list_instances()}


async def are_alive(broker: Broker, *sessions: Any) -> bool:
    """Whether the account holds the machines of these sessions and no others."""
    labels = [parse_label(label) for label in await alive(broker)]
    return {session["id"] for session in sessions} == {
        label.session_id for label in labels if label is not None
    }


async def restored_event(broker: Broker, session_id: str) -> Any:
    """The one event that tells of the restoring."""
    (event,) = [one for one in await broker.events(session_id) if one["type"] == "session.restored"]
    return event


async def test_a_day_that_the_copy_does_not_know(serve: Serve, copy: Path) -> None:
    """Extended, ended, retried and new sessions: each machine gets what is its due."""
    async with serve() as broker:
        settings = broker.parts.settings
        kept, extended, gone = await asyncio.gather(
            *(running(broker, consumer_id=name) for name in ("kept", "extended", "gone"))
        )
        await shorten(broker, extended["id"], timedelta(seconds=10))
        back_up(settings, copy)
        status, _ = await broker.call(
            "POST", f"/api/v1/sessions/{extended['id']}/extend", {"additional_hours": 1}
        )
        assert 200 == status
        await delete(broker, gone["id"])
        new = await running(broker, consumer_id="new")
        before = await alive(broker)
    restore(settings, copy)
    async with serve(**SOON) as broker:
        # Nothing is killed at once, and what is held goes on.
        assert before == await alive(broker)
        assert "running" == (await broker.session(kept["id"]))["status"]
        assert 404 == (await broker.call("GET", f"/api/v1/sessions/{new['id']}"))[0]
        for session in (kept, extended, gone):
            await restored_event(broker, session["id"])
        again = f"/api/v1/sessions/{extended['id']}/extend"
        assert 200 == (await broker.call("POST", again, {"additional_hours": 1}))[0]
        # What the marketplace no longer has is a ghost; what no row knows is an orphan.
        session = await ended(broker, gone["id"])
        assert ("failed", "instance_lost") == (session["status"], session["status_reason"])
        await eventually(partial(are_alive, broker, kept, extended))
        for session in (kept, extended):
            assert "running" == (await broker.session(session["id"]))["status"]
            await delete(broker, session["id"])
        assert set() == await alive(broker)
        assert 4 == await bills(broker)


async def restored_after_its_lease(serve: Serve, copy: Path, also: str) -> Any:
    """A session of a restored database, whose lease is over as is what `also` names."""
    async with serve(**UNHURRIED) as broker:
        settings = broker.parts.settings
        session = await running(broker)
        over = dict.fromkeys(("expires_at", also), utcnow() - timedelta(hours=1))
        await broker.parts.tools.journal.apply(
            session["id"], lambda s, _: Change(Effect.MARK_IDLE, replace(s, **over))
        )
        back_up(settings, copy)
    restore(settings, copy)
    return session


async def test_a_lease_that_ran_out_since_the_copy_gets_the_grace(serve: Serve, copy: Path) -> None:
    """It may have been extended; after the grace it ends as ever."""
    session = await restored_after_its_lease(serve, copy, "idle_since")
    async with serve(**SOON) as broker:
        event = await restored_event(broker, session["id"])
        shown = await broker.session(session["id"])
        assert ("running", None) == (shown["status"], shown["idle_since"])
        assert event["data"]["expires_at"] == shown["expires_at"]
        shown = await ended(broker, session["id"])
        assert ("stopped", "expired") == (shown["status"], shown["status_reason"])
        await assert_sound(broker)


async def test_a_lease_beyond_the_hard_maximum_is_over(serve: Serve, copy: Path) -> None:
    """No extension can have passed it."""
    session = await restored_after_its_lease(serve, copy, "hard_max_at")
    async with serve(**PATIENT) as broker:
        assert "stopped" == (await ended(broker, session["id"]))["status"]
        await assert_sound(broker)


async def test_a_call_that_went_out_after_the_copy_is_not_made_again(
    serve: Serve, copy: Path
) -> None:
    """The machine that it made is found by its label, and is the session's."""
    async with serve(**UNHURRIED) as broker:
        settings = broker.parts.settings
        session, attempt = await recorded(broker)
        back_up(settings, copy)
        await sent(broker, session)
        await made(broker, session, attempt)
    restore(settings, copy)
    async with serve() as broker:
        shown = await broker.until(session.id, "running", "failed")
        assert ("running", 1) == (shown["status"], len(shown["attempts"]))
        await assert_sound(broker, machines=1)
        await delete(broker, session.id)
        assert 1 == await bills(broker)


async def test_a_call_that_never_went_out_is_not_made_by_a_copy(serve: Serve, copy: Path) -> None:
    """Whether it went out cannot be told; nothing is found, and nothing else is tried."""
    async with serve(**UNHURRIED) as broker:
        settings = broker.parts.settings
        session, _ = await recorded(broker)
        await broker.parts.tools.journal.apply(
            session.id,
            lambda s, _: Change(
                Effect.MARK_IDLE, replace(s, request=replace(s.request, auto_retry=True))
            ),
        )
        back_up(settings, copy)
    restore(settings, copy)
    async with serve() as broker:
        shown = await ended(broker, session.id)
        assert ("failed", "outcome_unknown") == (shown["status"], shown["status_reason"])
        assert 0 == await bills(broker)


async def later_attempt(broker: Broker, session: Session) -> str:
    """A machine that the session rented as its second attempt, after the copy; its label."""
    offer = next(
        listed.offer
        for listed in broker.parts.tools.inventory.listed()
        if listed.offer.id != session.offer.id
    )
    label = Label(broker.parts.tools.rules.deployment, session.id, session.label_deadline, 2)
    await market(broker).create(LaunchSpec(offer, str(label), (session.public_key,)))
    return str(label)


async def test_a_machine_of_a_later_attempt_is_an_orphan(serve: Serve, copy: Path) -> None:
    """Nothing is known of its offer: the session fails, and the machine gets the grace."""
    async with serve(**UNHURRIED) as broker:
        settings = broker.parts.settings
        session = await running(broker)
        back_up(settings, copy)
        row, _ = await broker.parts.tools.journal.read(session["id"])
        await market(broker).destroy(session["provider_instance_id"])
        label = await later_attempt(broker, row)
    restore(settings, copy)
    async with serve(**PATIENT) as broker:
        shown = await ended(broker, session["id"])
        assert ("failed", "instance_lost") == (shown["status"], shown["status_reason"])
        assert {label} == await alive(broker)
        assert 2 == await bills(broker)
    async with serve() as broker:
        await eventually(partial(are_alive, broker))


async def test_no_sighting_of_yesterday_counts(serve: Serve, copy: Path) -> None:
    """An orphan that was nearly due gets the whole grace again."""
    async with serve(**PATIENT) as broker:
        settings = broker.parts.settings
        session = await running(broker)
        row, _ = await broker.parts.tools.journal.read(session["id"])
        label = await later_attempt(broker, row)
        await reconciled(broker)
        store = broker.parts.tools.store
        (sighting,) = await store.sightings("simulator")
        early = sighting.first_seen_at - timedelta(hours=2)
        await store.save_sightings("simulator", [replace(sighting, first_seen_at=early)])
        back_up(settings, copy)
    restore(settings, copy)
    async with serve(**PATIENT) as broker:
        await reconciled(broker, times=4)
        assert label in await alive(broker)


async def test_a_copy_is_taken_up_once(serve: Serve, copy: Path) -> None:
    """The next start is one like any other; a copy moved by hand is taken up as well."""
    async with serve() as broker:
        settings = broker.parts.settings
        session = await running(broker)
        back_up(settings, copy)
    copy.replace(settings.database_path)
    async with serve() as broker:
        await restored_event(broker, session["id"])
        assert await broker.parts.tools.store.meta("copied_at") is None
        assert await broker.parts.tools.store.meta("restored_at")
    async with serve() as broker:
        await restored_event(broker, session["id"])
        assert "running" == (await broker.session(session["id"]))["status"]
        await delete(broker, session["id"])


@pytest.mark.parametrize("is_dry", [True, False])
async def test_a_sweep_without_a_broker_leaves_a_copy_alone(
    serve: Serve, copy: Path, is_dry: bool
) -> None:
    """The time that a session gets once is given by a broker that stays to let it be used."""
    async with serve(**UNHURRIED) as broker:
        settings = broker.parts.settings
        session = await running(broker)
        over = utcnow() - timedelta(hours=1)
        await broker.parts.tools.journal.apply(
            session["id"],
            lambda s, _: Change(Effect.MARK_IDLE, replace(s, expires_at=over)),
        )
        back_up(settings, copy)
    restore(settings, copy)
    with pytest.raises(StartupError, match="gpu-broker serve"):
        await sweep_once(settings, dry_run=is_dry)
    async with serve(**PATIENT) as broker:
        event = await restored_event(broker, session["id"])
        assert over < datetime.fromisoformat(event["data"]["expires_at"])
        assert "running" == (await broker.session(session["id"]))["status"]
        await delete(broker, session["id"])


async def test_an_end_that_was_under_way_goes_on(serve: Serve, copy: Path) -> None:
    """What was to end before the copy ends, though nobody extends it."""
    async with serve() as broker:
        settings = broker.parts.settings
        session = await running(broker)
        await broker.fault("error", "destroy", times=FOR_EVER)
        await broker.call("POST", f"/api/v1/sessions/{session['id']}/done")
        back_up(settings, copy)
    restore(settings, copy)
    async with serve(**PATIENT) as broker:
        shown = await ended(broker, session["id"])
        assert ("stopped", "done") == (shown["status"], shown["status_reason"])
        assert "session.restored" in kinds(await broker.events(session["id"]))
        await assert_sound(broker)
