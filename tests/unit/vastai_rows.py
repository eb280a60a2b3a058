"""Rows as Vast.ai sends them, and JSON of any shape."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

NOW = datetime(2026, 9, 21, 16, 0, tzinfo=UTC)


def a_row(**changes: Any) -> dict[str, Any]:
    """A running instance with a direct address; `...` leaves a field out."""
    row: dict[str, Any] = {
        "id": 48738931,
        "machine_id": 22990,
        "actual_status": "running",
        "intended_status": "running",
        "cur_state": "running",
        "next_state": "running",
        "status_msg": "success, running nvidia/cuda/ssh\n",
        "label": "gpub-dep-abcdefghij-29000000-1",
        "image_runtype": "ssh_direc ssh_proxy",
        "extra_env": [["A", "1"], ["-p 8000:8000", "1"]],
        "public_ipaddr": "203.0.113.9\n",
        "local_ipaddrs": "192.168.1.20 172.17.0.1 \n",
        "ssh_host": "ssh5.vast.ai",
        "ssh_idx": "5",
        "ssh_port": 18930,
        "machine_dir_ssh_port": 21000,
        "ports": {
            "22/tcp": [
                {"HostIp": "::", "HostPort": "40022"},
                {"HostIp": "::", "HostPort": "40022"},
            ],
            "8000/tcp": [{"HostIp": "::", "HostPort": "40023"}],
            "9000/udp": [{"HostIp": "::", "HostPort": "40024"}],
        },
        "start_date": 1790000000.5,
        "gpu_name": "RTX 4090",
        "num_gpus": 2,
        "dph_total": 0.2555555555555556,
    }
    return {name: value for name, value in (row | changes).items() if value is not ...}


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["running", "created", "stopped", "22/tcp", "1e400", "-1", "not found"])
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
"""What a JSON document may hold."""


def rows_like(row: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """`row` with any of its fields replaced by anything, or missing."""
    changes = st.dictionaries(st.sampled_from(sorted(row)), anything | st.just(...))
    return changes.map(lambda changed: {k: v for k, v in (row | changed).items() if v is not ...})
