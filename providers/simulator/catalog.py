"""What the simulated market knows of each GPU model: what its driver prints, and its price."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

_MIB_PER_GB = 1024


@dataclass(frozen=True, slots=True)
class Model:
    """One GPU model."""

    gpu_type: str
    driver_name: str
    """As nvidia-smi prints it; `{gb}` stands for the memory."""
    mib: int
    """Memory as the driver reports it."""
    gb: int
    """The same as it stands on the box."""
    compute_cap: str
    watts: int
    is_datacenter: bool = False
    """No fan and no display, error correction on."""


@dataclass(frozen=True, slots=True)
class Supply:
    """How a model is offered: USD per GPU and hour, the sizes of its machines, its share."""

    low: Decimal
    high: Decimal
    counts: tuple[int, ...]
    weight: int


_PRO_6000 = "NVIDIA RTX PRO 6000 Blackwell"

_MODELS = (
    Model("GTX 1050 Ti", "NVIDIA GeForce GTX 1050 Ti", 4096, 4, "6.1", 75),
    Model("GTX 1070", "NVIDIA GeForce GTX 1070", 8192, 8, "6.1", 150),
    Model("RTX 3060", "NVIDIA GeForce RTX 3060", 12288, 12, "8.6", 170),
    Model("RTX 3070", "NVIDIA GeForce RTX 3070", 8192, 8, "8.6", 220),
    Model("RTX 3080", "NVIDIA GeForce RTX 3080", 10240, 10, "8.6", 320),
    Model("RTX 3090", "NVIDIA GeForce RTX 3090", 24576, 24, "8.6", 350),
    Model("RTX 4060 Ti", "NVIDIA GeForce RTX 4060 Ti", 16380, 16, "8.9", 165),
    Model("RTX 4070S Ti", "NVIDIA GeForce RTX 4070 Ti SUPER", 16376, 16, "8.9", 285),
    Model("RTX 4080", "NVIDIA GeForce RTX 4080", 16376, 16, "8.9", 320),
    Model("RTX 4090", "NVIDIA GeForce RTX 4090", 24564, 24, "8.9", 450),
    Model("RTX 5080", "NVIDIA GeForce RTX 5080", 16303, 16, "12.0", 360),
    Model("RTX 5090", "NVIDIA GeForce RTX 5090", 32607, 32, "12.0", 575),
    Model("RTX A4000", "NVIDIA RTX A4000", 16376, 16, "8.6", 140),
    Model("RTX A5000", "NVIDIA RTX A5000", 24564, 24, "8.6", 230),
    Model("RTX A6000", "NVIDIA RTX A6000", 49140, 48, "8.6", 300),
    Model("RTX 6000Ada", "NVIDIA RTX 6000 Ada Generation", 49140, 48, "8.9", 300),
    Model("RTX PRO 6000 S", f"{_PRO_6000} Server Edition", 97887, 96, "12.0", 600, True),
    Model("Tesla T4", "Tesla T4", 15360, 16, "7.5", 70, True),
    Model("Tesla V100", "Tesla V100-SXM2-{gb}GB", 32768, 32, "7.0", 300, True),
    Model("A10", "NVIDIA A10", 23028, 24, "8.6", 150, True),
    Model("A40", "NVIDIA A40", 46068, 48, "8.6", 300, True),
    Model("L4", "NVIDIA L4", 23034, 24, "8.9", 72, True),
    Model("L40S", "NVIDIA L40S", 46068, 48, "8.9", 350, True),
    Model("A100 PCIE", "NVIDIA A100 {gb}GB PCIe", 81920, 80, "8.0", 300, True),
    Model("A100 SXM4", "NVIDIA A100-SXM4-{gb}GB", 81920, 80, "8.0", 400, True),
    Model("H100 PCIE", "NVIDIA H100 PCIe", 81559, 80, "9.0", 350, True),
    Model("H100 SXM", "NVIDIA H100 80GB HBM3", 81559, 80, "9.0", 700, True),
    Model("H100 NVL", "NVIDIA H100 NVL", 95830, 94, "9.0", 400, True),
    Model("H200", "NVIDIA H200", 143771, 141, "9.0", 700, True),
    Model("B200", "NVIDIA B200", 183359, 180, "10.0", 1000, True),
)
_BY_TYPE = {model.gpu_type: model for model in _MODELS}

_WRONG = ("GTX 1070", "GTX 1050 Ti")
"""What a machine with the wrong GPU has: the first of them that was not rented."""


def _supply(low: str, high: str, counts: tuple[int, ...], weight: int) -> Supply:
    return Supply(Decimal(low), Decimal(high), counts, weight)


SUPPLY = {
    "RTX 3060": _supply("0.05", "0.09", (1, 2, 4), 6),
    "RTX 3070": _supply("0.06", "0.11", (1, 2), 4),
    "RTX 3080": _supply("0.09", "0.17", (1, 2, 4), 4),
    "RTX 3090": _supply("0.13", "0.26", (1, 2, 4, 8), 10),
    "RTX 4060 Ti": _supply("0.07", "0.13", (1, 2), 3),
    "RTX 4070S Ti": _supply("0.11", "0.20", (1, 2, 4), 3),
    "RTX 4080": _supply("0.15", "0.26", (1, 2), 3),
    "RTX 4090": _supply("0.27", "0.52", (1, 2, 4, 8), 16),
    "RTX 5080": _supply("0.16", "0.30", (1, 2), 3),
    "RTX 5090": _supply("0.38", "0.76", (1, 2, 4, 8), 8),
    "RTX A4000": _supply("0.08", "0.15", (1, 2, 4), 4),
    "RTX A5000": _supply("0.17", "0.29", (1, 2, 4), 3),
    "RTX A6000": _supply("0.36", "0.58", (1, 2, 4, 8), 5),
    "RTX 6000Ada": _supply("0.52", "0.84", (1, 2, 4), 4),
    "RTX PRO 6000 S": _supply("0.95", "1.75", (1, 2, 4, 8), 3),
    "Tesla T4": _supply("0.08", "0.15", (1, 2, 4), 2),
    "Tesla V100": _supply("0.14", "0.33", (1, 2, 4, 8), 3),
    "A10": _supply("0.19", "0.31", (1, 2, 4), 2),
    "A40": _supply("0.30", "0.48", (1, 2, 4), 2),
    "L4": _supply("0.21", "0.38", (1, 2, 4), 2),
    "L40S": _supply("0.48", "0.86", (1, 2, 4, 8), 5),
    "A100 PCIE": _supply("0.68", "1.10", (1, 2, 4, 8), 5),
    "A100 SXM4": _supply("0.78", "1.34", (1, 2, 4, 8), 6),
    "H100 PCIE": _supply("1.35", "2.10", (1, 2, 4, 8), 3),
    "H100 SXM": _supply("1.55", "2.60", (1, 2, 4, 8), 7),
    "H100 NVL": _supply("1.70", "2.60", (1, 2, 4), 3),
    "H200": _supply("2.10", "3.30", (1, 2, 4, 8), 4),
    "B200": _supply("3.10", "3.70", (1, 4, 8), 2),
}
"""What the default market sells, by GPU type."""


def model_of(gpu_type: str, vram_gb: int) -> Model:
    """The model behind an offer; one that is not listed here gets a plain one of its own."""
    known = _BY_TYPE.get(gpu_type)
    if known is None:
        mib = vram_gb * _MIB_PER_GB
        return Model(gpu_type, f"NVIDIA {gpu_type}", mib, vram_gb, "8.0", 250)
    mib = known.mib if known.gb == vram_gb else vram_gb * _MIB_PER_GB
    return replace(known, driver_name=known.driver_name.format(gb=vram_gb), mib=mib, gb=vram_gb)


def nominal_gb(gpu_type: str) -> int:
    """The memory of a model that the default market sells, as it stands on the box."""
    return _BY_TYPE[gpu_type].gb


def wrong_model(gpu_type: str) -> Model:
    """Another, smaller GPU than the one that was rented."""
    return _BY_TYPE[next(name for name in _WRONG if name != gpu_type)]
