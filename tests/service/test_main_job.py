"""The main job over HTTP: an offer, a machine, a login, a proved end."""

from __future__ import annotations

from tests.service.conftest import Broker


async def test_a_machine_is_rented_proved_and_proved_gone(broker: Broker) -> None:
    """A session runs when its login is proved, and is stopped when its machine is gone."""
    status, body = await broker.rent()
    assert status == 201, body
    session = await broker.until(body["session"]["id"], "running", "failed")
    assert session["status"] == "running", session["error"]
    assert session["ssh_host"] == "127.0.0.1"
    assert session["known_hosts"]

    status, _ = await broker.call("DELETE", f"/api/v1/sessions/{session['id']}")
    stopped = await broker.session(session["id"])
    assert (200, "stopped", "deleted") == (status, stopped["status"], stopped["status_reason"])
    assert {"ours": 0, "orphaned": 0, "foreign": 0} == await broker.machines()
