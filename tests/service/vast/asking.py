"""How an account at Vast.ai is configured, and asked through the broker."""

from __future__ import annotations

from typing import Any

from tests.service.conftest import Broker
from tests.vast_wire import API_KEY, Operation, VastWire

FOR_EVER = 1_000_000
ANYTHING: dict[str, Any] = {"provider": "vastai", "gpu_type": None}
"""What to rent there, if only it is cheap."""


def account(wire: VastWire) -> dict[str, Any]:
    """The settings of the account."""
    return {
        "providers__vastai__api_key": API_KEY,
        "providers__vastai__api_url": wire.url,
        "providers__vastai__pace": 0,
    }


async def vastai(broker: Broker) -> Any:
    """The account, as the providers are shown."""
    _, body = await broker.call("GET", "/api/v1/providers")
    return next(one for one in body["providers"] if one["name"] == "vastai")


async def listed(broker: Broker, **query: object) -> list[Any]:
    """Offers of the account's market, the cheapest first."""
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    _, body = await broker.call("GET", f"/api/v1/inventory?provider=vastai&{asked}")
    return list(body["offers"])


async def cheapest(broker: Broker) -> Any:
    """The cheapest verified offer of the account's market."""
    return (await listed(broker, verified="true", limit=1))[0]


def creations(wire: VastWire) -> int:
    """How often the marketplace was asked for a machine."""
    return sum(call.operation is Operation.CREATE for call in wire.calls)
