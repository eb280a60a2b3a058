"""A destruction that keeps failing is seen by whoever looks: health, metrics, accounts, events."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from broker.decide import moves
from broker.decide.destruction import PATIENCE
from tests.service.conftest import Broker, Serve, eventually
from tests.service.scenarios import (
    FOR_EVER,
    a_label,
    assert_sound,
    ended,
    made,
    metric,
    running,
)

GAUGE = 'gpu_destructions_failing{provider="simulator"}'


async def failing(broker: Broker) -> list[Any]:
    """The destructions that fail at the simulated market."""
    _, body = await broker.call("GET", "/api/v1/providers")
    return list(body["providers"][0]["failing_destructions"])


async def health(broker: Broker) -> tuple[int, Any]:
    """What /health answers."""
    return await broker.call("GET", "/health")


async def age(broker: Broker, session_id: str) -> None:
    """Let it be long since the destruction was first asked for."""
    await broker.parts.tools.journal.apply(
        session_id,
        lambda session, attempt: moves.destroy_fails(
            session,
            replace(attempt, destroy_asked_at=broker.parts.tools.now() - PATIENCE),
            "it has been failing for long",
            broker.parts.tools.now(),
        ),
    )


async def test_a_machine_that_is_not_destroyed_degrades_the_health(serve: Serve) -> None:
    """Not at the first failure; with 200, because the broker works; until the proof."""
    async with serve() as broker:
        session = await running(broker)
        assert 0 == await metric(broker, GAUGE)
        await broker.fault("error", "destroy", times=FOR_EVER)
        await broker.call("POST", f"/api/v1/sessions/{session['id']}/done")

        one = (await eventually(lambda: failing(broker)))[0]
        assert (session["provider_instance_id"], session["id"], False) == (
            one["instance_id"],
            one["session_id"],
            one["orphaned"],
        )
        assert "does not serve this call" in one["last_answer"]
        assert 1 == await metric(broker, GAUGE)
        assert "ok" == (await health(broker))[1]["status"]

        await age(broker, session["id"])

        async def degraded_health() -> Any:
            status, body = await health(broker)
            assert status == 200
            return body if body["status"] == "degraded" else None

        body = await eventually(degraded_health)
        assert "true" == body["services"]["ready"]
        assert ["simulator does not destroy 1 of our machines"] == [
            trouble.partition(", the longest")[0] for trouble in body["troubles"]
        ]

        await broker.call("DELETE", "/simulator/faults")
        await ended(broker, session["id"])
        assert [] == await failing(broker)
        assert 0 == await metric(broker, GAUGE)
        assert (200, "ok") == ((await health(broker))[0], (await health(broker))[1]["status"])
        await assert_sound(broker)


async def orphan_events(broker: Broker) -> list[Any]:
    """What was told of orphans that are not destroyed."""
    events = await broker.parts.tools.store.events()
    return [event for event in events if event.type == "orphan.destroy_failed"]


async def test_an_orphan_that_is_not_destroyed_shouts_as_well(serve: Serve) -> None:
    """No session tells of it: an event of its own does, and the account."""
    async with serve(lifecycle__orphan_grace_period="0s") as broker:
        await broker.fault("error", "destroy", times=FOR_EVER)
        orphan = await made(broker, a_label(broker))

        event = (await eventually(lambda: orphan_events(broker)))[0]
        assert (orphan, "simulator") == (event.data["instance_id"], event.data["provider"])
        assert "does not serve this call" in event.data["detail"]
        (one,) = await failing(broker)
        assert (orphan, True, "sess-aaaaaaaaaaaa") == (
            one["instance_id"],
            one["orphaned"],
            one["session_id"],
        )
        assert 1 == await metric(broker, GAUGE)

        await broker.call("DELETE", "/simulator/faults")

        async def is_over() -> bool:
            return await failing(broker) == []

        await eventually(is_over)
        assert 0 == (await broker.machines())["orphaned"]


async def test_an_orphan_that_stays_although_its_end_was_accepted_shouts(serve: Serve) -> None:
    """An acceptance without effect is no success."""
    async with serve(lifecycle__orphan_grace_period="0s") as broker:
        await broker.fault("ignored", "destroy", times=FOR_EVER)
        await made(broker, a_label(broker))
        store = broker.parts.tools.store

        async def is_asked() -> bool:
            return any(one.destroy_asked_at for one in await store.sightings("simulator"))

        await eventually(is_asked)
        assert [] == await failing(broker)
        long_ago = broker.parts.tools.now() - PATIENCE - timedelta(seconds=1)
        seen = await store.sightings("simulator")
        await store.save_sightings(
            "simulator", [replace(one, destroy_asked_at=long_ago) for one in seen]
        )

        (one,) = await eventually(lambda: failing(broker))
        assert "it is accepted, and the machine stays" == one["last_answer"]
        status, body = await health(broker)
        assert (200, "degraded") == (status, body["status"])
