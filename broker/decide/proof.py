"""Is it the machine that was rented? What a probe saw, against what the offer promised."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from providers.base import Offer
from providers.gpus import is_same_gpu

MIB_PER_GB = 1024
LEAST_MEMORY_PERCENT = 90
"""Of the nominal memory: drivers and error correction keep some for themselves."""


def bare_public_key(line: str) -> str:
    """The type and the data of an OpenSSH public line, without its comment."""
    return " ".join(line.split()[:2])


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU as the driver shows it."""

    name: str
    memory_mib: int | None
    """None where the driver does not tell."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What the machine showed to the verifying login."""

    gpus: tuple[Gpu, ...]
    failure: str | None
    """The first words of a driver that shows no GPU; None where it works."""
    authorized_keys: tuple[str, ...]
    """The public keys that may log in, as `ssh-ed25519 AAAA…`: no options, no comments."""

    def admits(self, public_line: str) -> bool:
        """Whether the machine lets the holder of this public key in."""
        return bare_public_key(public_line) in self.authorized_keys


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Why a machine is not the one that was rented."""

    message: str
    """A sentence for people, with what was expected and what was found."""
    may_pass: bool
    """The driver does not work, which may be because it is still being set up."""


def judge_gpus(offer: Offer, verification: Verification) -> Mismatch | None:
    """None where the machine shows at least the GPUs of `offer`; more of them do no harm."""
    least_mib = offer.vram_gb * MIB_PER_GB * LEAST_MEMORY_PERCENT // 100
    expected = f"{offer.gpu_count} x {offer.gpu_type} with at least {least_mib} MiB each"
    if verification.failure is not None:
        message = f"Expected {expected}, but nvidia-smi fails: {verification.failure}"
        return Mismatch(message, may_pass=True)
    fitting = [
        gpu
        for gpu in verification.gpus
        if is_same_gpu(offer.gpu_type, gpu.name) and (gpu.memory_mib or 0) >= least_mib
    ]
    if len(fitting) >= offer.gpu_count:
        return None
    message = f"Expected {expected}, but nvidia-smi shows {_described(verification.gpus)}."
    return Mismatch(message, may_pass=False)


def _described(gpus: tuple[Gpu, ...]) -> str:
    return " and ".join(
        f"{count} x {gpu.name} with {_memory(gpu)}" for gpu, count in Counter(gpus).items()
    )


def _memory(gpu: Gpu) -> str:
    return "unknown memory" if gpu.memory_mib is None else f"{gpu.memory_mib} MiB"
