"""The call that rents: what it says, and what its answer means. Pure.

`PUT /api/v0/asks/{id}/` with as few keys as possible, because a key that is sent, even as
null, may override what a template brings. Its limits are in docs/wire/vastai.md.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from providers.base import LaunchMode, LaunchSpec, TextLimits
from providers.errors import BadResponse, InvalidRequest
from providers.fields import as_row, cleaned, identity
from providers.json_text import parse_json

DEFAULT_IMAGE = "nvidia/cuda:12.2.2-base-ubuntu22.04"
"""What an SSH machine runs when nothing else is asked for; old enough for nearly every driver."""

_SSH_RUNTYPE = "ssh_direc ssh_proxy"
"""The marketplace's own spelling: a direct address, and the proxy as the fallback."""
_EXPORT_ENVIRONMENT = "env >> /etc/environment"
"""The container's environment reaches only its first process, and SSH logins through this file."""

_SMALLEST_DISK_GB = 8
_LONGEST_LABEL = 256
_LONGEST_IMAGE = 1024
_LONGEST_PROGRAM = 4096
_LONGEST_VALUE = 256
_LONGEST_ENVIRONMENT = 32_768
_MOST_PORTS = 64


TEXT_LIMITS = TextLimits(
    variable=_LONGEST_VALUE,
    environment=_LONGEST_ENVIRONMENT,
    on_start=_LONGEST_PROGRAM - len(f"{_EXPORT_ENVIRONMENT}\n"),
)
"""What a consumer may send; the limits of the marketplace, without what is ours."""


@dataclass(frozen=True, slots=True)
class Creation:
    """The instance that an answer to the creating call names."""

    instance_id: str
    """The instance that was made; it costs money, started or not, until it is destroyed."""
    is_started: bool
    """False: what was made is refused, and must be destroyed."""
    detail: str = ""
    """The marketplace's own words."""


def present_creation(spec: LaunchSpec) -> dict[str, object]:
    """The body that turns `spec.offer` into an instance.

    Raises `InvalidRequest` where the marketplace would not take it.
    """
    onstart = _onstart(spec)
    _check(spec, onstart)
    body: dict[str, object] = {
        "client_id": "me",
        "label": spec.label,
        "disk": max(spec.disk_gb, _SMALLEST_DISK_GB),
        "runtype": _SSH_RUNTYPE,
        "cancel_unavail": True,
        "target_state": "running",
    }
    if spec.launch_mode is LaunchMode.ENTRYPOINT:
        body["runtype"] = "args"
        if spec.args:
            body["args"] = list(spec.args)
    if spec.template_hash_id is None:
        body["image"] = spec.image or DEFAULT_IMAGE
    else:
        body["template_hash_id"] = spec.template_hash_id
    env = {**spec.env, **{f"-p {port}:{port}": "1" for port in spec.ports}}
    if env:
        body["env"] = env
    if onstart:
        body["onstart"] = onstart
    return body


def parse_creation(text: str) -> Creation | None:
    """What an answer to the creating call says was made, whatever its status; None: nothing.

    An instance may have been made all the same: only a refusal says that it was not. Raises
    `BadResponse` where it cannot be told which one was made.
    """
    try:
        row = as_row(parse_json(text)) or {}
    except ValueError:
        return None
    if row.get("new_contract") is None:
        return None
    instance_id = identity(row, "new_contract")
    if instance_id is None:
        raise BadResponse("The marketplace's answer does not name the machine that was made.")
    detail = cleaned(row.get("msg")) or cleaned(row.get("error"))
    return Creation(instance_id, row.get("success", True) is True, detail)


def _onstart(spec: LaunchSpec) -> str:
    """What runs at the start. A template's own is kept unless the consumer brings one."""
    script = spec.on_start or ""
    is_exported = spec.env and (script or spec.template_hash_id is None)
    if spec.launch_mode is LaunchMode.SSH and is_exported:
        return f"{_EXPORT_ENVIRONMENT}\n{script}".rstrip("\n")
    return script


def _check(spec: LaunchSpec, onstart: str) -> None:
    """Raise `InvalidRequest` for whatever is longer than the marketplace takes."""
    environment = sum(len(name) + len(value) for name, value in spec.env.items())
    limits = [
        ("The label", len(spec.label), _LONGEST_LABEL, "characters"),
        ("The image", len(spec.image or ""), _LONGEST_IMAGE, "characters"),
        (
            "The start script with the arguments",
            len(onstart) + len(shlex.join(spec.args)),
            _LONGEST_PROGRAM,
            "characters",
        ),
        ("The environment", environment, _LONGEST_ENVIRONMENT, "characters"),
        ("The list of ports", len(spec.ports), _MOST_PORTS, "ports"),
    ]
    limits += [
        (f"The value of {cleaned(name)}", len(value), _LONGEST_VALUE, "characters")
        for name, value in spec.env.items()
    ]
    for what, size, most, unit in limits:
        if size > most:
            raise InvalidRequest(f"{what} has {size} {unit}; Vast.ai takes at most {most}.")
    odd = next((name for name in spec.env if not name.isidentifier()), None)
    if odd is not None:
        raise InvalidRequest(f"{cleaned(odd)} cannot be the name of a variable.")
