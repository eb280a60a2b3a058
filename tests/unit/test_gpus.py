"""GPU names and memory sizes: many spellings, one type."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest

from providers.gpus import gpu_type, is_same_gpu, nominal_vram_gb

RENAMED = {"B300 SXM6 AC": "B300"}
"""Spellings of Vast.ai for which it has a better known one itself."""
UNCLEAR = {"970", "N/A"}
"""Names that are no GPU's, or half of one."""


def recorded_names() -> set[str]:
    """Every GPU name that Vast.ai was seen to use."""
    folder = Path(os.environ.get("RECORDED_MARKETS", "")) / "gpu_catalog"
    if "RECORDED_MARKETS" not in os.environ or not folder.is_dir():
        pytest.skip("RECORDED_MARKETS names no folder of recorded markets")
    lists = (json.loads(path.read_bytes()) for path in folder.glob("vast_gpu_names_*.json"))
    names = {name for listed in lists for name in listed["gpu_names"]}
    with (folder / "vast_gpu_names_seen.csv").open(encoding="utf-8") as seen:
        return names | {row["gpu_name"] for row in csv.DictReader(seen)}


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [
        ("RTX 4090", "RTX 4090"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("RTX_4090", "RTX 4090"),
        ("rtx-4090", "RTX 4090"),
        ("geforcertx4090-pcie-24gb", "RTX 4090"),
        ("NVIDIA GeForce RTX 4090 PCIe 24GB", "RTX 4090"),
        ("NVIDIA GeForce RTX 4090 D", "RTX 4090D"),
        ("NVIDIA GeForce RTX 4070 SUPER", "RTX 4070S"),
        ("NVIDIA GeForce RTX 4070 Ti SUPER", "RTX 4070S Ti"),
        ("NVIDIA GeForce GTX 1660 SUPER", "GTX 1660 S"),
        ("NVIDIA GeForce RTX 3060 Laptop GPU", "RTX 3060 laptop"),
        ("NVIDIA TITAN V", "Titan V"),
        ("NVIDIA A100-SXM4-80GB", "A100 SXM4"),
        ("NVIDIA A100-SXM4-40GB", "A100 SXM4"),
        ("NVIDIA A100 80GB PCIe", "A100 PCIE"),
        ("a100-pcie-40gb", "A100 PCIE"),
        ("NVIDIA H100 80GB HBM3", "H100 SXM"),
        ("h100-sxm5-80gb", "H100 SXM"),
        ("NVIDIA H100 PCIe", "H100 PCIE"),
        ("NVIDIA H100 NVL", "H100 NVL"),
        ("NVIDIA H200", "H200"),
        ("NVIDIA H200 NVL", "H200 NVL"),
        ("NVIDIA B300 SXM6 AC", "B300"),
        ("NVIDIA GH200 480GB", "GH200 SXM"),
        ("Tesla V100-SXM2-16GB", "Tesla V100"),
        ("v100-pcie-16gb", "Tesla V100"),
        ("Tesla P100-PCIE-16GB", "Tesla P100"),
        ("NVIDIA RTX 6000 Ada Generation", "RTX 6000Ada"),
        ("rtx4000sffada-pcie-20gb", "RTX 4000 SFF Ada"),
        ("Quadro RTX 8000", "Q RTX 8000"),
        ("quadrortx5000-pcie-16gb", "Q RTX 5000"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTX PRO 6000 S"),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "RTX PRO 6000 WS"),
        ("NVIDIA RTX A6000", "RTX A6000"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA A10", "A10"),
    ],
)
def test_every_spelling_leads_to_one_display_name(spelling: str, expected: str) -> None:
    """Marketplaces, drivers and people mean the same GPU."""
    assert gpu_type(spelling) == expected


def test_an_unknown_name_passes_through_trimmed() -> None:
    """A GPU that is newer than the table is shown as it is spelt."""
    assert gpu_type("  RTX   9090  Mega ") == "RTX 9090 Mega"
    assert gpu_type("") == ""


@pytest.mark.parametrize(
    ("rented", "shown"),
    [
        ("RTX 4090", "NVIDIA GeForce RTX 4090"),
        ("A100 SXM4", "NVIDIA A100-SXM4-40GB"),
        ("H100 SXM", "NVIDIA H100 80GB HBM3"),
        ("A100", "NVIDIA A100-SXM4-80GB"),
        ("H100", "NVIDIA H100 PCIe"),
        ("RTX 9090 Mega", "NVIDIA GeForce RTX 9090 Mega"),
        ("B300", "NVIDIA B300 SXM6 AC"),
    ],
)
def test_what_the_driver_prints_is_the_gpu_that_was_rented(rented: str, shown: str) -> None:
    """Also where one of both says less."""
    assert is_same_gpu(rented, shown)


@pytest.mark.parametrize(
    ("rented", "shown"),
    [
        ("RTX 4090", "NVIDIA GeForce RTX 4090 D"),
        ("RTX 4090", "NVIDIA GeForce RTX 3090"),
        ("H100 SXM", "NVIDIA H100 PCIe"),
        ("H200", "NVIDIA H200 NVL"),
        ("RTX 3060", "NVIDIA GeForce RTX 3060 Laptop GPU"),
        ("RTX 9090 SXM", "RTX 9090 PCIe"),
        ("RTX 4090", "Graphics Device"),
        ("RTX 4090", ""),
        ("", "NVIDIA"),
    ],
)
def test_another_gpu_is_another_gpu(rented: str, shown: str) -> None:
    """Tolerance ends where the price differs."""
    assert not is_same_gpu(rented, shown)


@pytest.mark.parametrize(
    ("mib", "gb"),
    [
        (24564, 24),
        (23028, 24),
        (22528, 22),
        (49140, 48),
        (46068, 48),
        (81559, 80),
        (81920, 80),
        (95830, 94),
        (97887, 96),
        (143771, 141),
        (183359, 180),
        (275040, 288),
        (15360, 16),
        (8151, 8),
        (6138, 6),
        (32607, 32),
        (17000, 17),
    ],
)
def test_the_nominal_memory_is_what_stands_on_the_box(mib: int, gb: int) -> None:
    """Drivers report up to a tenth less; what is near no known size is rounded."""
    assert nominal_vram_gb(mib) == gb


def test_every_recorded_name_is_its_own_display_name() -> None:
    """The display names are those of Vast.ai."""
    names = recorded_names()

    assert {name: gpu_type(name) for name in names if gpu_type(name) != name} == RENAMED


def test_every_recorded_name_is_found_in_other_spellings() -> None:
    """Underscores, hyphens, case and the vendor's name make no difference."""
    known = recorded_names() - UNCLEAR
    spellings = {
        (name, spelling)
        for name in known
        for spelling in (name.replace(" ", "_"), name.lower().replace(" ", "-"), f"NVIDIA {name}")
    }

    assert len(known) > 70
    assert [pair for pair in spellings if gpu_type(pair[0]) != gpu_type(pair[1])] == []
