"""An instance as the service's lists tell it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.vast_wire.contracts import Contract
from tests.vast_wire.misfortunes import Word
from tests.wire.answers import Body as Row

_FROM_OFFER = (
    *("machine_id", "host_id", "bundle_id", "gpu_name", "gpu_arch", "num_gpus", "gpu_frac"),
    *("gpu_ram", "gpu_lanes", "gpu_mem_bw", "bw_nvlink", "compute_cap", "cuda_max_good"),
    *("driver_version", "cpu_arch", "cpu_name", "cpu_cores", "cpu_cores_effective", "cpu_ram"),
    *("has_avx", "disk_name", "disk_bw", "storage_cost", "min_bid", "inet_up", "inet_down"),
    *("inet_up_cost", "inet_down_cost", "internet_up_cost_per_tb", "internet_down_cost_per_tb"),
    *("reliability2", "flops_per_dphtotal", "total_flops", "verification", "static_ip"),
    *("geolocation", "pci_gen", "pcie_bw", "mobo_name", "os_version", "direct_port_count"),
    *("credit_discount_max", "webpage", "logo", "gpu_display_active", "vram_costperhour"),
)
_UNKNOWN: Row = {
    **dict.fromkeys(("dlperf", "dlperf_per_dphtotal", "score", "hosting_type", "uptime_mins")),
    **dict.fromkeys(("credit_balance", "credit_discount", "inet_up_billed", "inet_down_billed")),
    "external": False,
    "rentable": False,
    "direct_port_start": -1,
    "direct_port_end": -1,
    "disk_usage": -1,
    "disk_util": -1,
    "client_run_time": 1.1,
    "host_run_time": 2_592_000.0,
    "time_remaining": "",
    "time_remaining_isbid": "",
    "volume_info": [],
}
_USAGE: Row = {
    "cpu_util": 0.0,
    "gpu_util": 0.0,
    "gpu_temp": 31.0,
    "mem_limit": 62.8,
    "mem_usage": 0.41,
    "vmem_usage": 0.5,
}
_NO_USAGE: Row = dict.fromkeys(_USAGE)


@dataclass(frozen=True)
class Address:
    """Where a machine is reached."""

    host: str = "127.0.0.1"
    ssh_port: int | None = None
    """Of the machine itself."""
    proxy_port: int = 9
    """As the row tells it."""
    published: Mapping[str, int] = field(default_factory=dict)
    """Docker's name of a port -> where it is reached."""


def present_contract(contract: Contract, address: Address, now: datetime) -> Row:
    """The row of an instance at `now`."""
    phase = contract.phase(now)
    order, ask = contract.order, contract.ask
    is_running = phase.actual == "running"
    message = phase.message and phase.message.replace("{id}", str(contract.id))
    row: Row = {
        **_UNKNOWN,
        **{name: ask.get(name) for name in _FROM_OFFER},
        **(_USAGE if is_running else _NO_USAGE),
        "id": contract.id,
        "actual_status": phase.actual,
        "intended_status": phase.intended,
        "cur_state": phase.cur,
        "next_state": phase.next,
        "status_msg": message,
        "label": contract.label,
        "template_id": order.template.get("id"),
        "template_hash_id": order.template.get("hash_id"),
        "template_name": order.template.get("name"),
        "image_uuid": order.image,
        "image_args": list(order.args),
        "image_runtype": order.runtype,
        "extra_env": [[name, value] for name, value in order.env.items()],
        "onstart": order.onstart,
        "jupyter_token": "df77e2",
        "gpu_totalram": ask.get("gpu_total_ram"),
        "country_code": (ask.get("geolocation") or "")[-2:] or None,
        "disk_space": order.disk_gb,
        "is_bid": order.price is not None,
        "start_date": contract.created_at.timestamp(),
        **_ending(contract, now),
        **_money(contract, is_running=is_running),
        **_network(contract, address, is_running=is_running),
    }
    return {**row, **contract.overrides}


def _ending(contract: Contract, now: datetime) -> Row:
    end = contract.ask.get("end_date")
    duration = end - now.timestamp() if isinstance(end, int | float) else None
    return {"end_date": end, "duration": duration}


def _money(contract: Contract, *, is_running: bool) -> Row:
    gpu, disk = contract.price, contract.disk_price
    current = gpu if is_running else 0
    return {
        "dph_base": gpu,
        "dph_total": gpu + disk,
        "storage_total_cost": disk,
        "search": _hourly(gpu, disk),
        "instance": _hourly(current, disk),
    }


def _hourly(gpu: float, disk: float) -> Row:
    return {
        "gpuCostPerHour": gpu,
        "diskHour": disk,
        "totalHour": gpu + disk,
        "discountTotalHour": 0,
        "discountedTotalPerHour": gpu + disk,
    }


def _network(contract: Contract, address: Address, *, is_running: bool) -> Row:
    host = address.host
    padded = f" {host}\n" if Word.IP_NEWLINE in contract.oddities else host
    row: Row = {
        "public_ipaddr": padded if is_running else None,
        "local_ipaddrs": "192.168.1.20 172.17.0.1 \n",
        "ssh_host": host,
        "ssh_idx": "5",
        "ssh_port": address.proxy_port,
        "machine_dir_ssh_port": 21_000,
    }
    if Word.NO_PORTS in contract.oddities:
        return {**row, "ports": None}
    # A container that does not run has no key `ports` at all.
    return {**row, "ports": _ports(contract, address)} if is_running else row


def _ports(contract: Contract, address: Address) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """Docker's map of the ports; the numbers are strings."""
    ports = dict(address.published)
    if contract.order.is_direct and address.ssh_port and contract.ask.get("direct_port_count") != 0:
        ports = {"22/tcp": address.ssh_port, **ports}
    return {
        inside: [
            {"HostIp": "0.0.0.0", "HostPort": str(port)},  # noqa: S104 (as docker tells it)
            {"HostIp": "::", "HostPort": str(port)},
        ]
        for inside, port in ports.items()
    }
