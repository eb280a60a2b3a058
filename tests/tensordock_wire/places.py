"""Where machines can be had: locations, their hosts, and what each host has and charges."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from decimal import Decimal

IMAGES = (
    *("ubuntu2204", "ubuntu2404", "ubuntu2404_ml_everything", "ubuntu2404_ml_pytorch"),
    *("ubuntu2404_ml_tensorflow", "windows10"),
)
"""What every host has."""
KNOWN_IMAGES = (
    *IMAGES,
    *("ubuntu2204_nvidia_550", "ubuntu2204_nvidia_570", "ubuntu2404_nvidia_550"),
    *("ubuntu2404_nvidia_570", "ubuntu2204_base", "ubuntu2404_base"),
)
_NAMESPACE = uuid.UUID("0b1f5a0e-6a53-4d38-9b1c-0f0f4b5b7a11")


@dataclass(frozen=True)
class Gpu:
    """GPUs of one model in one host."""

    v0_name: str
    count: int
    price: Decimal
    """USD per GPU and hour."""
    display_name: str | None = None


@dataclass(frozen=True)
class Host:
    """One physical host."""

    id: str
    gpus: tuple[Gpu, ...]
    vcpus: int = 56
    ram_gb: int = 331
    storage_gb: int = 30_200
    ports: tuple[int, ...] = tuple(range(20_009, 20_019))
    """External ports that can be forwarded."""
    public_ips: int = 1
    images: tuple[str, ...] = IMAGES
    per_vcpu: Decimal = Decimal("0.003")
    per_gb_ram: Decimal = Decimal("0.002")
    per_gb_storage: Decimal = Decimal("0.00005")
    rate_factor: Decimal = Decimal("0.96")
    """The true rate of a machine, as a part of what the listed prices add up to."""
    max_vcpus_per_gpu: int | None = None
    max_ram_per_gpu: int | None = None
    least_storage_gb: int = 100
    """The host's own restriction, which no list tells."""
    uptime: float = 99.2


@dataclass(frozen=True)
class Location:
    """One site."""

    id: str
    city: str
    stateprovince: str
    country: str
    tier: int
    hosts: tuple[Host, ...] = field(default_factory=tuple)


def a_host(name: str, *gpus: Gpu, **fields: object) -> Host:
    """A host whose id depends on nothing but its name."""
    return Host(_uuid(name), gpus, **fields)  # type: ignore[arg-type]


def _uuid(name: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, name))


def _gpu(v0_name: str, count: int, price: str, display_name: str | None = None) -> Gpu:
    return Gpu(v0_name, count, Decimal(price), display_name)


LOCATIONS = (
    Location(
        "8dd95ff0-dff9-489c-9b02-b38a366b6ab1",
        *("Chubbuck", "Idaho", "United States", 1),
        (
            a_host(
                "chubbuck-1",
                _gpu("geforcertx4090-pcie-24gb", 4, "0.3966", "NVIDIA GeForce RTX 4090 PCIe 24GB"),
            ),
            a_host(
                "chubbuck-2",
                _gpu("geforcertx4090-pcie-24gb", 2, "0.3966", "NVIDIA GeForce RTX 4090 PCIe 24GB"),
                public_ips=0,
            ),
        ),
    ),
    Location(
        _uuid("austin"),
        *("Austin", "Texas", "United States", 3),
        (
            a_host(
                "austin-1",
                _gpu("h100-sxm5-80gb", 8, "2.2", "NVIDIA H100 SXM5 80GB"),
                vcpus=128,
                ram_gb=300,
                storage_gb=1000,
            ),
            a_host("austin-2", _gpu("l40s-pcie-48gb", 4, "0.65", "l40s-pcie-48gb"), vcpus=96),
        ),
    ),
    Location(
        "1a779525-4c04-4f2c-aa45-58b47d54bb38",
        *("Chicago", "Illinois", "United States", 0),
        (
            a_host(
                "chicago-1",
                _gpu("geforcertx3090-pcie-24gb", 2, "0.20", "NVIDIA GeForce RTX 3090 PCIe 24GB"),
                public_ips=0,
                rate_factor=Decimal("0.93"),
            ),
        ),
    ),
    Location(
        _uuid("wilmington"),
        *("Delaware", "Wilmington", "United States", 4),
        (
            a_host(
                "wilmington-1",
                _gpu("rtxa6000-pcie-48gb", 4, "0.40", "NVIDIA RTX A6000 PCIe 48GB"),
                _gpu("rtx6000ada-pcie-48gb", 2, "0.70"),
                vcpus=64,
                ram_gb=256,
                public_ips=4,
            ),
        ),
    ),
    Location(
        "64d4a7fe-5953-426d-bc73-3b7a13463fb0",
        *("Frankfurt", "Hesse", "Germany", 2),
        (a_host("frankfurt-1", _gpu("l4-pcie-24gb", 2, "0.225", "NVIDIA L4 PCIe 24GB")),),
    ),
)
"""The default market."""
