"""A site of two markets, and how it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.offers import a_template, an_offer
from tests.service.markets import Client

OFFERS = (
    an_offer("1", price="0.5000001"),
    an_offer("2", price="0.4", gpu_type="RTX 3090", location="Oslo, NO", country="NO"),
    an_offer("3", price="2.4", gpu_type="A100 SXM4", vram_gb=80, gpu_count=2, verified=False),
    an_offer("4", price="0.5", provider="other", reliability=None, cuda_version=None),
)
OLLAMA = a_template(
    provider="cloud", tag="0.15.4", onstart="entrypoint.sh", runtype="jupyter", recommended=True
)
NEW_CUDA = a_template(
    hash_id="b" * 32,
    name="New CUDA",
    provider="cloud",
    image="nvidia/cuda",
    use_ssh=False,
    extra_filters='{"cuda_max_good": {"gte": 12.9}, "gpu_ram": {"gte": "20000"}}',
)


async def get(client: Client, path: str, **query: str) -> Any:
    """The body of a good answer."""
    async with client.get(f"/api/v1/{path}", params=query) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def refused(client: Client, path: str, **query: str) -> tuple[int, Any]:
    """The status and the body of an answer that says no."""
    async with client.get(f"/api/v1/{path}", params=query) as answer:
        return answer.status, await answer.json()


def ids(body: Mapping[str, Any]) -> list[str]:
    """The offers of an answer."""
    return [offer["id"] for offer in body["offers"]]
