"""How an account at Vast.ai is configured, and asked through the broker."""

from __future__ import annotations

from typing import Any

from tests.service.conftest import Broker
from tests.vast_wire import Operation, VastWire
from tests.waiting import eventually

FOR_EVER = 1_000_000
ANYTHING: dict[str, Any] = {"provider": "vastai", "gpu_type": None}
"""What to rent there, if only it is cheap."""


def account(wire: VastWire) -> dict[str, Any]:
    """The settings of the account."""
    return {
        "providers__vastai__api_key": wire.api_key,
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


def calls_of(wire: VastWire, operation: Operation) -> list[Any]:
    """The bodies of the calls of one kind."""
    return [call.body for call in wire.calls if call.operation is operation]


async def rent(broker: Broker, **fields: Any) -> tuple[int, Any]:
    """POST /sessions: the cheapest trusted offer, whatever its GPU."""
    return await broker.rent(gpu_type=None, **fields)


def direct_offer(wire: VastWire) -> str:
    """The cheapest trusted offer whose machine has an address of its own."""
    rows = [
        row
        for row in wire.offers()
        if row["direct_port_count"] and row["verification"] == "verified"
    ]
    return f"vastai-{min(rows, key=lambda row: row['dph_base'])['id']}"


async def until_read(broker: Broker) -> None:
    """Wait until the broker knows the market and the credit."""

    async def is_read() -> bool:
        seen = await vastai(broker)
        return bool(seen["offers"]) and seen["balance"] is not None

    await eventually(is_read)
