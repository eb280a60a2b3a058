"""What the marketplace says of an instance, in our words. Pure.

Its four state fields and the docker line in `status_msg` are described, with the
signatures of a failed boot, in docs/wire/vastai.md.
"""

from __future__ import annotations

import re

from providers.base import BootFailure, InstanceStatus
from providers.fields import Row, cleaned, word

_STATUS = {
    "running": InstanceStatus.RUNNING,
    "stopped": InstanceStatus.STOPPED,
    "frozen": InstanceStatus.STOPPED,
    "scheduling": InstanceStatus.STOPPED,
    "exited": InstanceStatus.OFFLINE,
    "unknown": InstanceStatus.OFFLINE,
    "offline": InstanceStatus.OFFLINE,
}
"""Every other word, and none at all, is a machine on its way."""

_MISSING_PROGRAM = re.compile(
    r"exec: .{0,200}?(?:executable file not found|no such file or directory)|exec format error"
)
_GPU_RUNTIME = re.compile(
    r"\bcdi\b|oci runtime|nvidia-container|\bnvml\b|libcuda|libnvidia"
    r"|could not select device driver"
)
_IMAGE = re.compile(
    r"manifest unknown|pull access denied|^unauthorized\b|unauthorized:"
    r"|(?:manifest|repository|image|tag)\b.{0,300}?\bnot (?:found|exist)"
    r"|error response from daemon.{0,300}?(?:unauthorized|not found)"
)
"""The registry's and the daemon's own words: an image may be called anything."""


def parse_status(row: Row) -> tuple[InstanceStatus, BootFailure | None]:
    """The status of an instance, and why it will never run where that is known."""
    actual = word(row, "actual_status")
    if word(row, "cur_state") == "unloaded" and not _is_provisioned(row):
        return InstanceStatus.ENDING, None
    status = _STATUS.get(actual or "", InstanceStatus.STARTING)
    failure = None if status is InstanceStatus.RUNNING else _failure(row)
    return (InstanceStatus.FAILED, failure) if failure else (status, None)


def _is_provisioned(row: Row) -> bool:
    """Whether the hardware is still being brought to a machine that is to run."""
    return word(row, "actual_status") is None and word(row, "next_state") == "running"


def _failure(row: Row) -> BootFailure | None:
    """The signature of a failed boot on an instance that is not running."""
    line = cleaned(row.get("status_msg")).lower()
    if _MISSING_PROGRAM.search(line):
        return BootFailure.IMAGE
    if _GPU_RUNTIME.search(line):
        return BootFailure.GPU_RUNTIME
    if _IMAGE.search(line):
        return BootFailure.IMAGE
    return BootFailure.HOST if _is_given_up(row) else None


def _is_given_up(row: Row) -> bool:
    """Whether the container was made, could not be started, and nothing is tried any more."""
    states = {word(row, name) for name in ("cur_state", "next_state", "intended_status")}
    return word(row, "actual_status") == "created" and states == {"stopped"}
