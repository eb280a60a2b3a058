"""Rows as TensorDock sends them, and what is asked of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from providers.base import LaunchSpec, Offer
from providers.tensordock.market import parse_market

NOW = datetime(2026, 9, 21, 16, 0, tzinfo=UTC)
SITE = "8dd95ff0-dff9-489c-9b02-b38a366b6ab1"
MODEL = "geforcertx4090-pcie-24gb"
MACHINE = "468b716a-6747-4cbe-9f13-afc153a21c14"
LABEL = "gpub-dep-abcdefghij-29000000-1"
MINE = "ssh-ed25519 AAAAmine consumer's"
BROKERS = "ssh-ed25519 AAAAbroker gpu-broker"


def changed(row: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`row` with `changes`; `...` leaves a field out."""
    return {name: value for name, value in (row | changes).items() if value is not ...}


def a_model(**changes: Any) -> dict[str, Any]:
    """A GPU model of a site: up to four RTX 4090 in one machine."""
    row = {
        "v0Name": MODEL,
        "displayName": "NVIDIA GeForce RTX 4090 PCIe 24GB",
        "max_count": 4,
        "price_per_hr": 0.3966,
        "resources": {"max_vcpus": 56, "max_ram_gb": 331, "max_storage_gb": 30200},
        "pricing": {"per_vcpu_hr": 0.003, "per_gb_ram_hr": 0.002, "per_gb_storage_hr": 0.00005},
        "network_features": {
            "dedicated_ip_available": True,
            "port_forwarding_available": True,
            "network_storage_available": False,
        },
    }
    return changed(row, changes)


def a_site(*models: Any, **changes: Any) -> dict[str, Any]:
    """A site with these models, one RTX 4090 unless they are told."""
    row = {
        "id": SITE,
        "city": "Chubbuck",
        "stateprovince": "Idaho",
        "country": "United States",
        "tier": 1,
        "gpus": list(models) or [a_model()],
    }
    return changed(row, changes)


def sites(*rows: Any) -> dict[str, Any]:
    """The answer of `GET /locations`."""
    return {"data": {"locations": list(rows)}}


def a_host(free: int = 2, **changes: Any) -> dict[str, Any]:
    """A physical host of the site, with so many GPUs free; changes are of what it has left."""
    left = {
        "gpus": [{"v0Name": MODEL, "availableCount": free, "price_per_hr": 0.3966}],
        "vcpu_count": 28,
        "ram_gb": 160,
        "storage_gb": 2000,
        "max_vcpus_per_gpu": 14,
        "max_ram_per_gpu": 82,
        "max_vcpus": 56,
        "max_ram_gb": 331,
        "max_storage_gb": 30200,
        "available_ports": [20009, 20010, 20011],
        "has_public_ip_available": True,
    }
    return {
        "id": "d3b07384-d113-4ec6-a5d3-111111111111",
        "location_id": SITE,
        "available_resources": changed(left, changes),
        "location": {"uuid": SITE, "network_speed_gbps": 0.94},
    }


def hosts(*rows: Any) -> dict[str, Any]:
    """The answer of `GET /hostnodes`."""
    return {"data": {"hostnodes": list(rows)}}


def a_machine(**changes: Any) -> dict[str, Any]:
    """A running machine with its SSH port forwarded, as it is answered without an envelope."""
    row = {
        "type": "virtualmachine",
        "id": MACHINE,
        "name": LABEL,
        "status": "running",
        "ipAddress": "203.0.113.71",
        "portForwards": [
            {"internal_port": 22, "external_port": 20456},
            {"internal_port": 8000, "external_port": 20457},
        ],
        "resources": {
            "vcpu_count": 8,
            "ram_gb": 32,
            "storage_gb": 100,
            "gpus": {MODEL: {"count": 2, "v0Name": MODEL}},
        },
        "rateHourly": 0.272999,
    }
    return changed(row, changes)


def offered(**changes: Any) -> Offer:
    """The offer of two GPUs of a model with these changes."""
    return parse_market(sites(a_site(a_model(**changes))), NOW).offers[1]


def a_spec(**fields: Any) -> LaunchSpec:
    """An SSH machine with nothing else asked for."""
    usual: dict[str, Any] = {
        "offer": offered(),
        "label": LABEL,
        "public_keys": (MINE, BROKERS),
    }
    return LaunchSpec(**(usual | fields))
