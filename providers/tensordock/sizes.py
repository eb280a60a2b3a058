"""How large a machine may be, and how large ours are: TensorDock takes some sizes only. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

LEAST_DISK_GB = 100

_VCPUS_PER_GPU = 8
_RAM_GB_PER_GPU = 32
_FEWEST_VCPUS_PER_GPU = 2
_LEAST_RAM_GB_PER_GPU = 8
_RAM_STEPS_GB = (
    *(2, 4, 6, 8, 10, 16, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176),
    *(192, 208, 224, 240, 256, 512),
)


@dataclass(frozen=True, slots=True)
class Size:
    """A machine beside its GPUs and its disk."""

    vcpus: int
    ram_gb: int


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that one machine may have; infinite where nothing limits it."""

    vcpus: float = math.inf
    ram_gb: float = math.inf
    disk_gb: float = math.inf
    vcpus_per_gpu: float = math.inf
    ram_gb_per_gpu: float = math.inf

    def within(self, other: Limits) -> Limits:
        """What both allow."""
        return Limits(
            vcpus=min(self.vcpus, other.vcpus),
            ram_gb=min(self.ram_gb, other.ram_gb),
            disk_gb=min(self.disk_gb, other.disk_gb),
            vcpus_per_gpu=min(self.vcpus_per_gpu, other.vcpus_per_gpu),
            ram_gb_per_gpu=min(self.ram_gb_per_gpu, other.ram_gb_per_gpu),
        )


def size_for(count: int, limits: Limits) -> Size | None:
    """The machine that goes with `count` GPUs; None where what is left would be none.

    8 vCPUs and 32 GB for each GPU, less where the limits say so: an even number of vCPUs,
    and one of the sizes of memory that are taken.
    """
    vcpus = min(count * _VCPUS_PER_GPU, count * limits.vcpus_per_gpu, limits.vcpus)
    ram_gb = min(count * _RAM_GB_PER_GPU, count * limits.ram_gb_per_gpu, limits.ram_gb)
    size = Size(
        vcpus=math.floor(vcpus) // 2 * 2,
        ram_gb=max((step for step in _RAM_STEPS_GB if step <= ram_gb), default=0),
    )
    is_enough = (
        size.vcpus >= count * _FEWEST_VCPUS_PER_GPU
        and size.ram_gb >= count * _LEAST_RAM_GB_PER_GPU
        and limits.disk_gb >= LEAST_DISK_GB
    )
    return size if is_enough else None


def present_traits(size: Size) -> dict[str, str | float | bool]:
    """A size as an offer carries it, in the words of the creating call."""
    return {"vcpu_count": size.vcpus, "ram_gb": size.ram_gb}


def parse_traits(traits: Mapping[str, str | float | bool]) -> Size | None:
    """The size that an offer carries."""
    vcpus, ram_gb = traits.get("vcpu_count"), traits.get("ram_gb")
    if isinstance(vcpus, int | float) and isinstance(ram_gb, int | float):
        return Size(int(vcpus), int(ram_gb))
    return None
