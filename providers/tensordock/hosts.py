"""The hosts behind TensorDock's price list, from `GET /hostnodes`. Pure.

They tell what the list of sites does not: how many GPUs are free together, whether a port can
be forwarded, and how much of its host a machine may take for each GPU.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from providers.fields import Row, as_row, flag, identity, number, whole
from providers.tensordock.rows import model_of, rows_of
from providers.tensordock.sizes import Limits


@dataclass(frozen=True, slots=True)
class Host:
    """What a physical host still has of one GPU model."""

    location_id: str
    model: str
    free: int
    """GPUs."""
    limits: Limits
    ports: int | None = None
    """How many can be forwarded; None where that is not told."""
    has_address: bool | None = None
    """Whether it has a public address left for a machine of its own; None: not told."""


def parse_hosts(payload: object) -> tuple[Host, ...]:
    """What each host in the answer of `GET /hostnodes` has of each GPU model.

    Rows that cannot be read are left out: they say nothing. Raises `BadResponse` on what is no
    list of hosts.
    """
    return tuple(host for row in rows_of(payload, "hostnodes") for host in _hosts(row))


def _hosts(row: Row) -> Iterable[Host]:
    left = as_row(row.get("available_resources")) or {}
    place = as_row(row.get("location")) or {}
    location_id = identity(row, "location_id") or identity(place, "uuid")
    gpus, ports = left.get("gpus"), left.get("available_ports")
    if location_id is None or not isinstance(gpus, list):
        return
    for gpu in gpus:
        told = as_row(gpu) or {}
        model, free = model_of(told), whole(told, "availableCount")
        if model is not None and free is not None:
            yield Host(
                location_id,
                model,
                free,
                _limits(left),
                ports=len(ports) if isinstance(ports, list) else None,
                has_address=flag(left, "has_public_ip_available"),
            )


def _limits(left: Row) -> Limits:
    """What one machine may have: neither more than is left, nor than the host's rules say."""
    return Limits(
        vcpus=_least(left, "vcpu_count", "max_vcpus"),
        ram_gb=_least(left, "ram_gb", "max_ram_gb"),
        disk_gb=_least(left, "storage_gb", "max_storage_gb"),
        vcpus_per_gpu=_least(left, "max_vcpus_per_gpu"),
        ram_gb_per_gpu=_least(left, "max_ram_per_gpu"),
    )


def _least(row: Row, *names: str) -> float:
    told = (number(row, name) for name in names)
    return min((float(value) for value in told if value is not None), default=math.inf)
