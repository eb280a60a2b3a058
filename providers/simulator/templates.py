"""The few templates that the simulated market publishes."""

from __future__ import annotations

from datetime import UTC, datetime

from providers.base import Template
from providers.simulator.market import PROVIDER

_PUBLISHER = 62_897
_ANY_CPU = '{"cpu_arch": {"in": ["arm64", "amd64"]}}'
_X86 = '{"cpu_arch": {"eq": "amd64"}}'
_LARGE = '{"gpu_ram": {"gte": 24000}, "cuda_max_good": {"gte": 12.4}}'

TEMPLATES = (
    Template(
        hash_id="5d1f0c7be2a94e6f8a3b6c9d0e1f2a34",
        name="Ollama",
        image="ollama/ollama",
        provider=PROVIDER,
        id=9001,
        tag="0.15.4",
        env="-p 11434:11434 -e OLLAMA_MODEL=qwen3:14b",
        onstart="entrypoint.sh",
        runtype="ssh",
        recommended=True,
        recommended_disk_space=64,
        extra_filters=_ANY_CPU,
        creator_id=_PUBLISHER,
        created_at=datetime(2026, 2, 2, 18, 27, 28, tzinfo=UTC),
        count_created=302,
    ),
    Template(
        hash_id="a3c95e20b7d84f1c9e6d2b8f4a7c1053",
        name="vLLM",
        image="vllm/vllm-openai",
        provider=PROVIDER,
        id=9002,
        tag="v0.11.0",
        env="-p 8000:8000 -e HF_HOME=/workspace/models",
        runtype="args",
        use_ssh=False,
        ssh_direct=False,
        recommended=True,
        recommended_disk_space=120,
        extra_filters=_LARGE,
        creator_id=_PUBLISHER,
        created_at=datetime(2026, 3, 11, 9, 2, 41, tzinfo=UTC),
        count_created=911,
    ),
    Template(
        hash_id="f07b4d61c2e845a3b19d8c5e7f6a2b90",
        name="PyTorch",
        image="pytorch/pytorch",
        provider=PROVIDER,
        id=9003,
        tag="2.8.0-cuda12.8-cudnn9-devel",
        env="-e DATA_DIRECTORY=/workspace",
        onstart="env >> /etc/environment",
        runtype="ssh",
        recommended=True,
        recommended_disk_space=50,
        extra_filters=_X86,
        creator_id=_PUBLISHER,
        created_at=datetime(2025, 11, 20, 14, 55, 3, tzinfo=UTC),
        count_created=4820,
    ),
    Template(
        hash_id="2e8a6f9140bd47c5a8f3d1e0c9b7564d",
        name="Plain Ubuntu",
        image="ubuntu",
        provider=PROVIDER,
        id=9004,
        tag="24.04",
        runtype="ssh",
        recommended_disk_space=50,
        creator_id=_PUBLISHER,
        created_at=datetime(2025, 8, 4, 7, 30, 0, tzinfo=UTC),
        count_created=77,
    ),
)

DEFAULT_IMAGE = "pytorch/pytorch:2.8.0-cuda12.8-cudnn9-devel"
"""What a machine runs when nothing else is asked for."""


def find_template(hash_id: str) -> Template | None:
    """The template with this id."""
    return next((known for known in TEMPLATES if known.hash_id == hash_id), None)
