"""How much disk a model needs: a disk cannot grow once the machine is made."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from broker.errors import Detail, InsufficientDisk
from broker.model import Request
from providers.base import Template

_DOWNLOAD_SHARE = Decimal("0.5")
"""Room for files that are being fetched while older parts still lie beside them."""
_IMAGE_GB = Decimal(10)
_TEMPLATE_IMAGE_GB = Decimal(15)
_SYSTEM_GB = Decimal(5)
_RECOMMENDED_SHARE = Decimal("1.2")
_ROUND_UP_TO_GB = 5

_HALF_PRECISION = Decimal(2)
_BYTES_PER_PARAMETER: Mapping[str, Decimal] = {
    "fp32": Decimal(4),
    "float32": Decimal(4),
    "fp8": Decimal(1),
    "int8": Decimal(1),
    "w8a8": Decimal(1),
    "8bit": Decimal(1),
    "awq": Decimal("0.5625"),
    "gptq": Decimal("0.5625"),
    "int4": Decimal("0.5"),
    "4bit": Decimal("0.5"),
    "q4": Decimal("0.5"),
}
"""By the words that stand in the names of models and quantizations; 16 bits otherwise."""

_PUBLISHED_SMALL: Mapping[str, Decimal] = {
    "deepseek-r1-distill": _HALF_PRECISION,
    "deepseek-r1": Decimal(1),
    "deepseek-v3": Decimal(1),
    "kimi-k2": Decimal(1),
    "gpt-oss": Decimal("0.5625"),
}
"""Models that are published in fewer bits without saying so; a longer name comes first."""

_MISLEADING: Mapping[str, Decimal] = {
    "mixtral-8x7b": Decimal("46.7"),
    "mixtral-8x22b": Decimal("140.6"),
    "llama-4-scout": Decimal(109),
    "llama-4-maverick": Decimal(400),
}
"""Models whose names hold figures that are not their size. Billions of parameters."""

_UNNUMBERED: Mapping[str, Decimal] = {
    "deepseek-v2-lite": Decimal("15.7"),
    "deepseek-coder-v2-lite": Decimal("15.7"),
    "deepseek-coder-v2": Decimal(236),
    "deepseek-v2": Decimal(236),
    "deepseek-v3": Decimal(671),
    "deepseek-r1": Decimal(671),
    "mistral-large": Decimal(123),
    "mistral-small": Decimal(24),
    "mistral-nemo": Decimal("12.2"),
    "command-r-plus": Decimal(104),
    "command-r": Decimal(35),
    "phi-4": Decimal("14.7"),
    "phi-3-medium": Decimal(14),
    "phi-3-mini": Decimal("3.8"),
    "dbrx": Decimal(132),
    "kimi-k2": Decimal(1000),
}
"""Models whose names do not tell their size; a longer name comes before its beginning."""

_EXPERTS = re.compile(r"(?<![a-z0-9.])(\d{1,3})x(\d{1,4}(?:\.\d{1,4})?)b(?![a-z0-9])")
_BILLIONS = re.compile(r"(?<![a-z0-9.])(\d{1,5}(?:\.\d{1,4})?)b(?![a-z0-9])")
_MILLIONS = re.compile(r"(?<![a-z0-9.])(\d{1,5}(?:\.\d{1,4})?)m(?![a-z0-9])")


@dataclass(frozen=True, slots=True)
class DiskEstimate:
    """The disk that a model or a template needs, and what it is made of. GB."""

    minimum_gb: int
    recommended_gb: int
    breakdown: Mapping[str, object]


def estimate_disk(
    model_id: str | None,
    quantization: str | None = None,
    *,
    has_template: bool = False,
    template_floor_gb: int | None = None,
) -> DiskEstimate | None:
    """What the disk must hold; None where neither the model's name nor the template tells."""
    billions = parse_parameters(model_id) if model_id else None
    if billions is None and not template_floor_gb:
        return None
    weight = (billions or Decimal(0)) * bytes_per_parameter(model_id, quantization)
    buffer = weight * _DOWNLOAD_SHARE
    image = _TEMPLATE_IMAGE_GB if has_template else _IMAGE_GB
    floor = template_floor_gb or 0
    needed = math.ceil(weight + buffer + image + _SYSTEM_GB)
    minimum = max(needed, floor)
    recommended = max(_rounded_up(needed * _RECOMMENDED_SHARE), floor)
    told = {
        "template_floor_gb": template_floor_gb,
        "model_id": model_id,
        "quantization": quantization,
        "param_count_b": billions,
    }
    return DiskEstimate(
        minimum_gb=minimum,
        recommended_gb=recommended,
        breakdown={
            "model_weight_gb": weight,
            "download_buffer_gb": buffer,
            "docker_image_gb": image,
            "system_overhead_gb": _SYSTEM_GB,
            "minimum_gb": minimum,
            "recommended_gb": recommended,
            **{name: value for name, value in told.items() if value is not None},
        },
    )


def check_disk(request: Request, template: Template | None = None) -> None:
    """Raise InsufficientDisk, with the figures, where the disk asked for is too small."""
    estimate = estimate_disk(
        request.model_id,
        request.quantization,
        has_template=request.template_hash_id is not None,
        template_floor_gb=template.recommended_disk_space if template else None,
    )
    if estimate is None or request.disk_gb >= estimate.minimum_gb:
        return
    raise InsufficientDisk(
        f"A disk of {request.disk_gb} GB is too small: at least {estimate.minimum_gb} GB are "
        f"needed, {estimate.recommended_gb} GB are recommended. Ask for more with disk_gb.",
        details=[Detail("disk_gb", f"must be at least {estimate.minimum_gb}")],
        extra={
            "requested_gb": request.disk_gb,
            "minimum_gb": estimate.minimum_gb,
            "recommended_gb": estimate.recommended_gb,
            "breakdown": dict(estimate.breakdown),
        },
    )


def parse_parameters(model_id: str) -> Decimal | None:
    """Billions of parameters, as far as the model's name tells."""
    name = _name(model_id)
    return (
        _listed(name, _MISLEADING)
        or _experts(name)
        or _largest(name, _BILLIONS)
        or _largest(name, _MILLIONS, scale=Decimal("0.001"))
        or _listed(name, _UNNUMBERED)
    )


def bytes_per_parameter(model_id: str | None, quantization: str | None) -> Decimal:
    """Of the quantization asked for, else of the one in the model's name."""
    for text in (quantization, model_id):
        words = re.split(r"[^a-z0-9]+", (text or "").lower())
        sizes = [_BYTES_PER_PARAMETER[word] for word in words if word in _BYTES_PER_PARAMETER]
        if sizes:
            return sizes[0]
    return _listed(_name(model_id or ""), _PUBLISHED_SMALL) or _HALF_PRECISION


def _name(model_id: str) -> str:
    return model_id.lower().rsplit("/", maxsplit=1)[-1]


def _listed(name: str, table: Mapping[str, Decimal]) -> Decimal | None:
    return next((size for known, size in table.items() if name.startswith(known)), None)


def _experts(name: str) -> Decimal | None:
    match = _EXPERTS.search(name)
    return Decimal(match[1]) * Decimal(match[2]) if match else None


def _largest(name: str, pattern: re.Pattern[str], scale: Decimal = Decimal(1)) -> Decimal | None:
    sizes = [Decimal(text) * scale for text in pattern.findall(name)]
    return max(sizes, default=None)


def _rounded_up(gigabytes: Decimal) -> int:
    return math.ceil(gigabytes / _ROUND_UP_TO_GB) * _ROUND_UP_TO_GB
