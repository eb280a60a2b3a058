"""Rents, lists and destroys with the vendor's typed clients: `vendor_typed.py URL`, JSON on stdout.

It runs in an environment that has the SDK and nothing of ours.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from typing import Any

from vastai import AsyncClient, SyncClient
from vastai.data.instance import InstanceConfig
from vastai.data.query import Query

QUERY = Query({"gpu_name": {"eq": "RTX 4090"}, "num_gpus": {"lte": 1}, "rentable": {"eq": True}})
CONFIG = InstanceConfig("ubuntu", disk=20, label="typed", env={"A": "1"}, runtype="ssh_direct")


def synchronous(url: str) -> dict[str, Any]:
    """What the synchronous client sees of a machine's life."""
    client = SyncClient(vast_server=url)
    offer, *_ = client.search(QUERY, order=[["dph_total", "asc"]], allocated_storage=20)
    made = offer.create_instance(CONFIG)
    listed = [instance.id for instance in client.show_instances()]
    made.destroy()
    return seen(offer, made, listed, [instance.id for instance in client.show_instances()])


async def asynchronous(url: str) -> dict[str, Any]:
    """The same with the asynchronous one."""
    client = AsyncClient(vast_server=url)
    # It would fetch a certificate from the real service, wherever it is pointed at.
    client._ssl_context = ssl.create_default_context()
    async with client:
        offer, *_ = await client.search(QUERY, order=[["dph_total", "asc"]], allocated_storage=20)
        made = await offer.create_instance(CONFIG)
        listed = [instance.id for instance in await client.show_instances()]
        await made.destroy()
        left = [instance.id for instance in await client.show_instances()]
    return seen(offer, made, listed, left)


def seen(offer: Any, made: Any, listed: list[int], left: list[int]) -> dict[str, Any]:
    """What is told about it."""
    return {
        "offer": offer.id,
        "price": offer.dph_total,
        "made": made.id,
        "row": [made.label, made.image_uuid, made.image_runtype, made.disk_space, made.extra_env],
        "listed": listed,
        "left": left,
    }


if __name__ == "__main__":
    _, service = sys.argv
    print(json.dumps([synchronous(service), asyncio.run(asynchronous(service))]))  # noqa: T201
