"""GPU names and memory sizes: many spellings, one type."""

from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path

import pytest

from providers.gpus import gpu_key, gpu_type, has_prefix, is_same_gpu, nominal_vram_gb

RENAMED = {"B300 SXM6 AC": "B300"}
"""Spellings of Vast.ai for which it has a better known one itself."""
UNCLEAR = {"970", "N/A"}
"""Names that are no GPU's, or half of one."""


def recordings(name: str) -> Path:
    """A folder of recorded data."""
    folder = Path(os.environ.get("RECORDED_MARKETS", "")) / name
    if "RECORDED_MARKETS" not in os.environ or not folder.is_dir():
        pytest.skip("RECORDED_MARKETS names no folder of recorded markets")
    return folder


def recorded_names() -> set[str]:
    """Every GPU name that Vast.ai was seen to use."""
    folder = recordings("gpu_catalog")
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
        ("v100-nvlink-16gb", "Tesla V100"),
        ("NVIDIA GeForce RTX 4090 PCIe 24GB", "RTX 4090"),
        ("rtx4090", "RTX 4090"),
        ("rtx4090-24gb", "RTX 4090"),
        ("RTX 4090 24 GB", "RTX 4090"),
        ("RTX 4090 (24 GB)", "RTX 4090"),
        ("GTX 1080 Ti", "GTX 1080 Ti"),
        ("nvidia geforce gtx1080ti", "GTX 1080 Ti"),
        ("NVIDIA GeForce RTX 4090 D", "RTX 4090D"),
        ("NVIDIA GeForce RTX 4070 SUPER", "RTX 4070S"),
        ("NVIDIA GeForce RTX 4070 Ti SUPER", "RTX 4070S Ti"),
        ("NVIDIA GeForce GTX 1660 SUPER", "GTX 1660 S"),
        ("NVIDIA GeForce RTX 3060 Laptop GPU", "RTX 3060 laptop"),
        ("NVIDIA TITAN V", "Titan V"),
        ("NVIDIA A100-SXM4-80GB", "A100 SXM4"),
        ("NVIDIA A100-SXM4-40GB", "A100 SXM4"),
        ("A100 SXM4", "A100 SXM4"),
        ("A100_SXM_80GB", "A100 SXM4"),
        ("NVIDIA A100 80GB PCIe", "A100 PCIE"),
        ("a100-pcie-40gb", "A100 PCIE"),
        ("NVIDIA H100 80GB HBM3", "H100 SXM"),
        ("h100-sxm5-80gb", "H100 SXM"),
        ("H100 SXM", "H100 SXM"),
        ("NVIDIA H100 SXM5", "H100 SXM"),
        ("NVIDIA H100 PCIe", "H100 PCIE"),
        ("H100 PCIe (80GB)", "H100 PCIE"),
        ("NVIDIA H100 NVL", "H100 NVL"),
        ("NVIDIA H200", "H200"),
        ("NVIDIA H200 NVL", "H200 NVL"),
        ("NVIDIA B300 SXM6 AC", "B300"),
        ("NVIDIA GH200 480GB", "GH200 SXM"),
        ("Tesla V100-SXM2-16GB", "Tesla V100"),
        ("v100-pcie-16gb", "Tesla V100"),
        ("Tesla V100", "Tesla V100"),
        ("Tesla T4", "Tesla T4"),
        ("NVIDIA T4", "Tesla T4"),
        ("Tesla P100-PCIE-16GB", "Tesla P100"),
        ("RTX 6000 Ada", "RTX 6000Ada"),
        ("NVIDIA RTX 6000 Ada Generation", "RTX 6000Ada"),
        ("rtx4000sffada-pcie-20gb", "RTX 4000 SFF Ada"),
        ("Quadro RTX 8000", "Q RTX 8000"),
        ("quadrortx5000-pcie-16gb", "Q RTX 5000"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTX PRO 6000 S"),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "RTX PRO 6000 WS"),
        ("NVIDIA RTX A6000", "RTX A6000"),
        ("rtxa6000-pcie-48gb", "RTX A6000"),
        ("A6000", "RTX A6000"),
        ("AMD Instinct MI300X", "InstinctMI300X"),
        ("MI300X", "InstinctMI300X"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA A10", "A10"),
    ],
)
def test_every_spelling_leads_to_one_display_name(spelling: str, expected: str) -> None:
    """Marketplaces, drivers and people mean the same GPU."""
    assert gpu_type(spelling) == expected


@pytest.mark.parametrize(
    "name",
    [
        *("RTX 9090 Mega", "NVIDIA RTX 9090", "Graphics Device", "A100", "a100-80gb", "H100 HGX"),
        *("NVIDIA RTX A5000 Laptop GPU", "Tesla V100S-PCIE-32GB", "GRID P4-1Q", "970", "N/A", ""),
        *("NVIDIA", "RTX 6000", "RTX 4090 GB"),
    ],
)
def test_a_name_that_is_not_known_or_may_mean_several_passes_through(name: str) -> None:
    """As it is spelled, but for spaces: a new GPU, half a name, a cousin of a known one."""
    assert gpu_type(f"  {name.replace(' ', '   ')} ") == name


@pytest.mark.parametrize(
    "spellings",
    [
        ("RTX 9090", "rtx-9090", "RTX_9090", "rtx9090", "NVIDIA GeForce RTX 9090"),
        ("RTX 4090", "rtx-4090", "RTX_4090", "NVIDIA GeForce RTX 4090", "geforcertx4090-pcie-24gb"),
        ("A100", "NVIDIA A100", "nvidia_a100"),
        ("Größe 3", "größe_3"),
    ],
)
def test_all_spellings_of_a_gpu_have_one_key(spellings: tuple[str, ...]) -> None:
    """Known or not."""
    assert len({gpu_key(spelling) for spelling in spellings}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("A100", "a100-80gb"),
        ("A100 PCIE", "A100 SXM4"),
        ("RTX 4090", "RTX 4090D"),
        ("RTX A5000", "NVIDIA RTX A5000 Laptop GPU"),
        ("Tesla V100", "Tesla V100S-PCIE-32GB"),
        ("RTX 6000", "RTX 6000 Ada"),
        ("L40", "L40S"),
        ("A10", "A10G"),
        ("NVIDIA", "AMD"),
    ],
)
def test_different_gpus_have_different_keys(one: str, other: str) -> None:
    """However alike their names are."""
    assert gpu_key(one) != gpu_key(other)


@pytest.mark.parametrize(
    ("name", "prefix", "expected"),
    [
        ("A100 SXM4", "a100", True),
        ("A100 SXM4", "NVIDIA A100", True),
        ("RTX 4090", "geforce_rtx-40", True),
        ("Tesla V100", "V100", True),
        ("Tesla V100", "tesla", True),
        ("RTX 9090 Mega", "rtx 9", True),
        ("RTX 4090", "4090", False),
        ("H100 SXM", "a100", False),
    ],
)
def test_a_gpu_is_found_by_the_beginning_of_any_of_its_names(
    name: str, prefix: str, expected: bool
) -> None:
    """The maker's name makes no difference."""
    assert has_prefix(name, prefix) is expected


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


SHOWN_BY_DRIVERS = re.compile(r"product[_ ]name\s*[>:]\s*([^<\n]+)", re.IGNORECASE)
NO_GPU_TYPES = {"Graphics Device", "GRID P4-1Q", "NVIDIA GeForce GT 1030"}
"""Names of half-known drivers, of a slice of a GPU, of a GPU that nobody rents out."""


def test_every_recorded_driver_shows_a_known_gpu() -> None:
    """Except for those that are none, and for laptops' that nobody offers."""
    files = [path for path in recordings("nvidia_smi").rglob("*") if path.is_file()]
    texts = [path.read_text(errors="replace") for path in files]
    shown = {name.strip() for text in texts for name in SHOWN_BY_DRIVERS.findall(text)}
    unknown = {name for name in shown if gpu_type(name) == name and name.startswith("NVIDIA")}

    assert len(shown) > 20
    assert {name for name in unknown if "Virtual" not in name} <= {
        *NO_GPU_TYPES,
        "NVIDIA RTX A5000 Laptop GPU",
    }


def test_the_gpus_of_the_recorded_tensordock_console_are_those_of_vast() -> None:
    """Model and form factor together name one of the known types."""
    path = recordings("tensordock") / "console_availability_2026-01.csv"
    with path.open(encoding="utf-8") as console:
        rows = [(row["gpu"], row["form_factor"]) for row in csv.DictReader(console)]
    known = recorded_names()

    assert len(rows) > 10
    assert {gpu_type(f"{gpu} {form}") for gpu, form in rows} <= known
