"""What an account really runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from broker.effects import Effect
from broker.model import Change
from tests.service.conftest import Broker, Serve
from tests.service.scenarios import a_label, made, market, reconciled, running

PATH = "/api/v1/providers/simulator/instances"


async def instances(broker: Broker) -> dict[str, Any]:
    """The machines of the simulated account, by their ids; their order is kept."""
    status, body = await broker.call("GET", PATH)
    assert status == 200, body
    assert len(body["instances"]) == body["count"]
    return {one["instance_id"]: one for one in body["instances"]}


async def test_an_account_is_known_before_any_session_exists(market_only: Broker) -> None:
    """The first question to a new broker has an answer: what runs already, and what it costs."""
    stranger = await made(market_only, "somebody-elses")

    status, body = await market_only.call("GET", PATH)

    assert status == 200
    (instance,) = body["instances"]
    assert (stranger, "foreign") == (instance["instance_id"], instance["ownership"])
    assert ("somebody-elses", None) == (instance["label"], instance["session_id"])
    assert instance["price_per_hour"] == body["burn_per_hour"] > 0
    assert instance["age_seconds"] >= 0
    assert ("simulator", 1) == (body["provider"], body["count"])


async def test_every_machine_is_told_with_whose_it_is(serve: Serve) -> None:
    """Orphans first, foreign machines next, ours last; each with what its label says."""
    async with serve(lifecycle__orphan_grace_period="1h") as broker:
        session = await running(broker)
        foreign = await made(broker, a_label(broker, "elsewhere"))
        orphan = await made(broker, a_label(broker))

        found = await instances(broker)

        ours = session["provider_instance_id"]
        assert [orphan, foreign, ours] == list(found)
        assert ["orphaned", "foreign", "ours"] == [one["ownership"] for one in found.values()]
        assert (session["id"], "running") == (
            found[ours]["session_id"],
            found[ours]["session_status"],
        )
        assert ("elsewhere", None) == (
            found[foreign]["deployment"],
            found[foreign]["session_status"],
        )
        assert found[orphan]["deadline"] is not None
        assert found[orphan]["destroy_asked_at"] is None


async def test_a_machine_with_our_mark_and_no_readable_label_is_shown(serve: Serve) -> None:
    """It is no orphan, so that nothing destroys it; and no silent stranger."""
    async with serve(lifecycle__orphan_grace_period="0s") as broker:
        label = f"gpub-{broker.parts.tools.rules.deployment}-zz"
        marked = await made(broker, label)
        await reconciled(broker, 4)

        found = await instances(broker)
        assert [(marked, label, "unreadable")] == [
            (name, one["label"], one["ownership"]) for name, one in found.items()
        ]
        _, body = await broker.call("GET", "/api/v1/providers")
        (account,) = body["providers"]
        assert {"ours": 0, "orphaned": 0, "foreign": 1} == account["machines"]
        assert 1 == account["unreadable_labels"]


async def test_a_machine_that_a_session_holds_is_ours_whatever_its_label(serve: Serve) -> None:
    """The record of the session names it; the label is told as it is now."""
    async with serve(lifecycle__orphan_grace_period="1h") as broker:
        session = await running(broker)
        relabelled = await made(broker, "my-training")
        await broker.parts.tools.journal.apply(
            session["id"],
            lambda one, _: Change(Effect.WARN, replace(one, instance_id=relabelled)),
        )

        found = (await instances(broker))[relabelled]

        assert ("ours", session["id"]) == (found["ownership"], found["session_id"])
        assert ("my-training", "running") == (found["label"], found["session_status"])
        _, body = await broker.call("GET", "/api/v1/providers")
        assert {"ours": 1, "orphaned": 1, "foreign": 0} == body["providers"][0]["machines"]
        # Now no label of the account names the session any more.
        await market(broker).destroy(session["provider_instance_id"])
        assert "ours" == (await instances(broker))[relabelled]["ownership"]


async def test_an_account_that_cannot_be_listed_is_no_empty_account(market_only: Broker) -> None:
    """503, and never a list that is old or empty."""
    await market_only.fault("error", "list", times=1000)

    status, body = await market_only.call("GET", PATH)

    assert (503, "provider_unavailable") == (status, body["code"])
    assert "simulator cannot be listed" in body["error"]


async def test_an_account_that_is_not_configured_is_not_found(market_only: Broker) -> None:
    """Its name is told."""
    status, body = await market_only.call("GET", "/api/v1/providers/elsewhere/instances")

    assert (404, "resource_not_found") == (status, body["code"])
    assert "elsewhere" in body["error"]
