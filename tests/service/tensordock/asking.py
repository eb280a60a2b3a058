"""Renting at TensorDock, and ending it."""

from __future__ import annotations

from typing import Any

from tests.service.conftest import Broker
from tests.service.scenarios import ended

ANYTHING = {"gpu_type": None, "allow_unverified": True}
"""To rent: whatever is cheapest."""


async def running(broker: Broker, **fields: Any) -> tuple[Any, str]:
    """A session that runs, and its private key."""
    status, body = await broker.rent(**{**ANYTHING, **fields})
    assert status == 201, body
    session = await broker.until(body["session"]["id"], "running", "failed")
    assert session["status"] == "running", session["error"]
    return session, body["ssh_private_key"]


async def end(broker: Broker, session: Any) -> Any:
    """The session after its end was asked for."""
    await broker.call("DELETE", f"/api/v1/sessions/{session['id']}")
    return await ended(broker, session["id"])
