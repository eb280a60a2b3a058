"""Builders of offers, requests and failures for tests: only what matters is named."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from broker.decide.money import shown
from broker.decide.offers import Listed
from broker.model import Failure, Reason, Request, WorkloadType
from providers.base import Capabilities, LaunchMode, Offer, Template

NOW = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)


def minutes(count: float) -> timedelta:
    """A duration."""
    return timedelta(minutes=count)


def an_offer(provider_id: str = "1", *, price: str = "0.5", **fields: Any) -> Offer:
    """A verified, reliable RTX 4090 in the US, unless said otherwise."""
    usual: dict[str, Any] = {
        "provider": "cloud",
        "provider_id": provider_id,
        "gpu_type": "RTX 4090",
        "gpu_count": 1,
        "vram_gb": 24,
        "price_per_hour": Decimal(price),
        "disk_price_per_gb_hour": Decimal("0.001"),
        "fetched_at": NOW,
        "location": "California, US",
        "country": "US",
        "machine_id": f"m{provider_id}",
        "reliability": 0.99,
        "verified": True,
        "cuda_version": 12.8,
    }
    return Offer(**{**usual, **fields})


def a_listed(offer: Offer, **fields: Any) -> Listed:
    """`offer` as it is shown, believed without reserve."""
    usual: dict[str, Any] = {
        "offer": offer,
        "id": offer.id,
        "price": shown(offer.price_per_hour),
        "confidence": 1.0,
    }
    return Listed(**{**usual, **fields})


def a_request(**fields: Any) -> Request:
    """One hour of anything."""
    usual: dict[str, Any] = {
        "consumer_id": "me",
        "workload_type": WorkloadType.LLM,
        "reservation": timedelta(hours=1),
    }
    return Request(**{**usual, **fields})


def a_failure(offer: Offer, at: datetime = NOW, reason: Reason = Reason.BOOT_TIMEOUT) -> Failure:
    """`offer` did not become a working machine."""
    return Failure(
        offer_id=offer.id,
        provider=offer.provider,
        gpu_type=offer.gpu_type,
        reason=reason,
        created_at=at,
        machine_id=offer.machine_id,
        location=offer.location,
    )


def able(**fields: Any) -> Capabilities:
    """A provider that can launch either way."""
    usual: dict[str, Any] = {
        "launch_modes": frozenset(LaunchMode),
        "settle": timedelta(seconds=2),
        "direct_proof": True,
    }
    return Capabilities(**{**usual, **fields})


def a_template(**fields: Any) -> Template:
    """The template of the API's documentation."""
    usual: dict[str, Any] = {
        "hash_id": "a8a44c7363cbca20056020397e3bf072",
        "name": "Ollama",
        "image": "vastai/ollama",
        "provider": "cloud",
        "env": "-p 1111:1111 -p 21434:21434 -e OLLAMA_MODEL=qwen3:14b ...",
        "recommended_disk_space": 32,
        "extra_filters": '{"cpu_arch": {"in": ["arm64", "amd64"]}}',
        "created_at": datetime(2026, 2, 2, 18, 27, 28, tzinfo=UTC),
    }
    return Template(**{**usual, **fields})


def ids(rows: Iterable[Listed]) -> list[str]:
    """What is listed, without the name of the provider."""
    return [row.offer.provider_id for row in rows]
