"""The installed command and sessions: look, extend, end."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.cli_broker import CommandLine, wait_until
from tests.e2e.conftest import RENT


def test_a_session_can_be_seen_extended_and_its_history_read(
    broker: CommandLine, rented: dict[str, Any]
) -> None:
    """Tables and cards of a live session."""
    session_id = rented["session"]["id"]

    extended = broker.ask("sessions", "extend", session_id, "--minutes", "10")
    card = broker.succeed("sessions", "get", session_id)
    table = broker.succeed("sessions", "list", "--status", "running")
    events = broker.ask("sessions", "events", session_id)

    assert extended["new_expires_at"] > rented["session"]["expires_at"]
    assert "root@127.0.0.1" in card or rented["session"]["ssh_user"] in card
    assert session_id in table
    assert events["count"] == len(events["events"]) > 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("inventory", "--gpu-type", "RTX 4090", "--verified", "--sort=-reliability"),
        ("gpus",),
        ("gpus", "RTX 4090"),
        ("templates",),
        ("costs",),
        ("costs", "summary"),
        ("costs", "daily"),
        ("providers",),
        ("sessions", "list"),
    ],
    ids=" ".join,
)
def test_every_table_has_a_heading_and_rows(
    broker: CommandLine, rented: dict[str, Any], arguments: tuple[str, ...]
) -> None:
    """What the API answers fits what the tables look for."""
    assert len(broker.succeed(*arguments).splitlines()) > 1


def test_the_cheapest_offer_can_be_looked_at_in_full(broker: CommandLine) -> None:
    """By the id that the table shows, with the templates that fit it."""
    offer = broker.ask("inventory", "--limit", "1")["offers"][0]

    assert f"id                       {offer['id']}" in broker.succeed("inventory", offer["id"])
    assert broker.run("templates", "--offer-id", offer["id"]).returncode == 0


def test_done_ends_a_session_and_its_cost_stays_known(broker: CommandLine) -> None:
    """From rent to the bill."""
    created = broker.ask(*RENT)
    session_id = created["session"]["id"]

    broker.succeed("sessions", "done", session_id)
    wait_until(lambda: broker.ask("sessions", "get", session_id)["status"] == "stopped")

    assert broker.ask("costs", "--session-id", session_id)["total_cost"] > 0
    assert "its machine is gone" in broker.run("ssh", session_id, "--", "true").stderr


def test_delete_ends_a_session_at_once(broker: CommandLine) -> None:
    """And doing it again is no mistake."""
    session_id = broker.ask(*RENT)["session"]["id"]

    broker.succeed("sessions", "delete", session_id)
    broker.succeed("sessions", "delete", session_id)

    assert broker.ask("sessions", "get", session_id)["status"] == "stopped"
