"""The default market of the simulated service: hosts and the rows of their overlapping offers.

Made from the simulated market's own catalogue, in the shape that search answers had in 2026.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from providers.simulator.catalog import SUPPLY, model_of, nominal_gb
from tests.wire.answers import Body as Row

_FIRST_ASK, _FIRST_MACHINE, _FIRST_HOST, _FIRST_GPU = 44_000_001, 24_001, 125_001, 82_001
_DAY = 86_400
_POPULAR = "RTX 4090"
"""Offered by three hosts even in a small market."""
_PLACES = (
    *("Montana, US", "Sweden, SE", "Quebec, CA", "Guangxi, CN", "Türkiye, TR", "Texas, US"),
    *("Iceland, IS", "Poland, PL", ", US", "Germany, DE", "Japan, JP", "Norway, NO", None),
)
_CPUS = ("AMD EPYC 7642 48-Core Processor", "Xeon® E5-2680 v4 ", "AMD EPYC 9684X 96-Core Processor")
_DRIVERS = (("550.54.15", 12.4), ("570.124.06", 12.8), ("590.48.01", 13.1), ("550.120", 12.4))


@dataclass(frozen=True)
class Host:
    """One machine with all its GPUs."""

    number: int
    gpu_name: str
    gpus: int
    price: float
    """$/h for one GPU."""
    chance: random.Random

    @property
    def gpu_ids(self) -> Sequence[int]:
        first = _FIRST_GPU + 16 * self.number
        return range(first, first + self.gpus)

    def slices(self) -> Iterator[Sequence[int]]:
        """The GPUs of each of its offers: all of them, and halves of halves."""
        size, begin = self.gpus, 0
        while size >= 1:
            yield self.gpu_ids[begin : begin + size]
            # The first half of two GPUs, the last one of four: some offers overlap, some do not.
            size, begin = size // 2, self.gpus - size // 2 if size == 2 else 0


def default_rows(count: int, now: float, seed: int = 1) -> list[Row]:
    """`count` offers: model after model of the catalogue, then more of them by chance."""
    rows: list[Row] = []
    for host in _hosts(random.Random(seed)):
        for gpu_ids in host.slices():
            rows.append(_row(host, gpu_ids, _FIRST_ASK + len(rows), now))
            if len(rows) == count:
                return rows
    raise AssertionError("there are always more hosts")


def _hosts(chance: random.Random) -> Iterator[Host]:
    names = list(SUPPLY)
    weights = [SUPPLY[name].weight for name in names]
    first = [_POPULAR, *names[:9], _POPULAR, *names[9:]]
    number = 0
    while True:
        name = first[number] if number < len(first) else chance.choices(names, weights)[0]
        supply = SUPPLY[name]
        # Small machines are more common than large ones.
        gpus = supply.counts[int(len(supply.counts) * chance.random() ** 1.5)] if number else 4
        price = float(supply.low) + chance.random() * float(supply.high - supply.low)
        yield Host(number, name, gpus, round(price, 4), random.Random(number))
        number += 1


def _row(host: Host, gpu_ids: Sequence[int], ask_id: int, now: float) -> Row:
    """The offer of some GPUs of a host, as a search tells it but for the price of the disk."""
    share = len(gpu_ids) / host.gpus
    return {
        "id": ask_id,
        "ask_contract_id": ask_id,
        "bundle_id": 2_049_000_000 + ask_id % 1_000_000,
        "bundled_results": None,
        "machine_id": _FIRST_MACHINE + host.number,
        "host_id": _FIRST_HOST + host.number // 2,
        "hostname": None,
        "num_gpus": len(gpu_ids),
        "gpu_ids": list(gpu_ids),
        "gpu_frac": share,
        **_gpu(host, len(gpu_ids)),
        **_computer(host, share),
        **_network(host, share),
        **_standing(host, now),
        **_prices(host, len(gpu_ids)),
        **_REST,
    }


def _gpu(host: Host, count: int) -> Row:
    model = model_of(host.gpu_name, nominal_gb(host.gpu_name))
    major, _, minor = model.compute_cap.partition(".")
    driver, cuda = _DRIVERS[host.number % 3 if host.number % 10 else 3]
    parts = [int(part) for part in (*driver.split("."), "0")[:3]]
    flops = 40.0 + host.number
    return {
        "gpu_name": host.gpu_name,
        "gpu_ram": model.mib,
        "gpu_total_ram": model.mib * count,
        "gpu_arch": "nvidia",
        "gpu_display_active": False,
        "gpu_lanes": 16,
        "gpu_mem_bw": 3108.4,
        "gpu_max_power": float(model.watts),
        "gpu_max_temp": 65.0,
        "bw_nvlink": 0.0,
        "compute_cap": int(major) * 100 + int(minor) * 10,
        "cuda_max_good": cuda,
        "driver_version": driver,
        "driver_vers": parts[0] * 1_000_000 + parts[1] * 1000 + parts[2],
        "total_flops": flops * count,
        "flops_per_dphtotal": flops / host.price,
        "dlperf": flops * count * 1.5,
        "dlperf_per_dphtotal": flops * 1.5 / host.price,
        "vram_costperhour": host.price / model.mib,
        "pci_gen": 4.0,
        "pcie_bw": 24.3,
    }


def _computer(host: Host, share: float) -> Row:
    cores = (32, 64, 96, 192)[host.number % 4]
    return {
        "cpu_arch": "amd64",
        "cpu_cores": cores,
        "cpu_cores_effective": cores * share,
        "cpu_ghz": 2.55,
        "cpu_name": _CPUS[host.number % len(_CPUS)],
        "cpu_ram": int(257_572 * share),
        "has_avx": 1,
        "disk_bw": 2700.8,
        "disk_name": "nvme",
        "disk_space": (800.0, 1600.0, 3200.0)[host.number % 3] * share,
        "mobo_name": "H12SSL",
        "os_version": "22.04",
        "vms_enabled": False,
    }


def _network(host: Host, share: float) -> Row:
    has_ports = host.number % 9 != 4
    return {
        "direct_port_count": int(998 * share) if has_ports else 0,
        "public_ipaddr": f"203.0.113.{host.number % 250 + 1}",
        "static_ip": host.number % 2 == 0,
        "inet_down": 5186.9,
        "inet_down_cost": 0.00013020833333333333,
        "inet_up": 1767.7,
        "inet_up_cost": 0.00013020833333333333,
        "internet_down_cost_per_tb": 0.13333333333333333,
        "internet_up_cost_per_tb": 0.13333333333333333,
        "geolocation": _PLACES[host.number % len(_PLACES)],
        "geolocode": 433_199_645 + host.number,
    }


def _standing(host: Host, now: float) -> Row:
    verification = "unverified" if host.number % 7 == 5 else "verified"
    reliability = 0.8731 if host.number % 8 == 6 else 0.9883432
    return {
        "verification": verification,
        "vericode": int(verification == "verified"),
        "reliability": reliability,
        "reliability2": reliability,
        "reliability_mult": 0.8955657,
        "expected_reliability": 0.0,
        "target_reliability": 0.0,
        "hosting_type": int(host.number % 5 == 0),
        "start_date": now - 40 * _DAY,
        "end_date": now + (20 + 17 * (host.number % 11)) * _DAY,
        "score": 400.0 - host.number,
        "rentable": True,
        "rented": False,
        "external": None,
        "is_bid": False,
    }


def _prices(host: Host, count: int) -> Row:
    return {
        "dph_base": host.price * count,
        "min_bid": round(host.price * count / 2, 4),
        "storage_cost": (0.1, 0.2, 0.92)[host.number % 3],
        "credit_discount_max": 0.0,
        "discount_rate": None,
        "discounted_hourly": 0,
    }


_REST: Row = {
    "logo": "/static/logos/vastai_small2.png",
    "webpage": None,
    "sla_sigma_x": None,
    "sla_broker_rate": None,
    "sla_r_claim": 0.0,
    "is_vm_deverified": False,
    "resource_type": "gpu",
    "cluster_id": None,
    "avail_vol_ask_id": None,
    "avail_vol_dph": None,
    "avail_vol_size": None,
    "nw_disk_min_bw": None,
    "nw_disk_max_bw": None,
    "nw_disk_avg_bw": None,
    "rn": 1,
    "time_remaining": "",
    "time_remaining_isbid": "",
}
