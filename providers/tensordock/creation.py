"""The call that rents: what it says, and which machine its answer names. Pure.

`POST /instances` takes a body in the style of JSON:API, and a first boot described in a few
keys of cloud-init. What it takes and refuses is in docs/wire/tensordock.md.
"""

from __future__ import annotations

import shlex

from providers.base import LaunchMode, LaunchSpec, TextLimits
from providers.errors import InvalidRequest
from providers.fields import as_row, cleaned, identity
from providers.tensordock.market import MOST_FORWARDS, OfferKey, parse_offer_id
from providers.tensordock.sizes import Size, parse_traits

DEFAULT_IMAGE = "ubuntu2404"
"""The only kind of image that is known to start everywhere; its driver may be half installed."""
OTHER_IMAGES = ("ubuntu2404_ml_everything", "ubuntu2404_ml_pytorch", "ubuntu2204")
"""What is tried, in this order, where a host does not have the image that was asked for."""

SSH_USER = "user"
SSH_PORT = 22
_ON_START = "/opt/gpu-broker/on-start.sh"
_LONGEST_NAME = 60
_LONGEST_SCRIPT = 4096
_LONGEST_ENVIRONMENT = 4096

_ENDS_OF_VALUES = "#" + "".join(map(chr, (*range(32), 127, 0x85, 0x2028, 0x2029)))
"""Where a value in the machine's file of variables would be cut off, or might be."""

TEXT_LIMITS = TextLimits(
    environment=_LONGEST_ENVIRONMENT, unfit=_ENDS_OF_VALUES, on_start=_LONGEST_SCRIPT
)
"""What a consumer may send: no limits of length are known, and one client keeps to these."""

_DRIVER = r"""
if ! nvidia-smi >/dev/null 2>&1; then
  systemctl stop unattended-upgrades
  export DEBIAN_FRONTEND=noninteractive
  while fuser /var/lib/dpkg/lock-frontend >/dev/null 2>&1; do sleep 5; done
  dpkg --configure -a
  dkms autoinstall
  modprobe nvidia
  if ! nvidia-smi >/dev/null 2>&1; then
    apt-get update && apt-get install -y nvidia-driver-550
    modprobe nvidia
  fi
fi
""".strip()
"""The driver of some images is unpacked and never configured, while updates hold the lock."""


def images_for(image: str | None) -> tuple[str, ...]:
    """The images to try, the wanted one first."""
    return tuple(dict.fromkeys((image or DEFAULT_IMAGE, *OTHER_IMAGES)))


def present_creation(spec: LaunchSpec, image: str) -> dict[str, object]:
    """The body that turns `spec.offer` into an instance with `image` on it.

    Raises `InvalidRequest` where the marketplace would not take it, and for an offer that does
    not say which machine it is.
    """
    key, size = parse_offer_id(spec.offer.provider_id), parse_traits(spec.offer.traits)
    if key is None or size is None:
        raise InvalidRequest(f"{spec.offer.id} is no offer of TensorDock.")
    _check(spec)
    attributes: dict[str, object] = {
        "name": spec.label,
        "type": "virtualmachine",
        "image": image,
        "resources": _resources(key, size, spec.offer.rented_disk_gb(spec.disk_gb)),
        "location_id": key.location_id,
        "ssh_key": spec.public_keys[0],
        "cloud_init": _cloud_init(spec),
    }
    if spec.offer.has_own_address:
        attributes["useDedicatedIp"] = True
    else:
        attributes["port_forwards"] = [_forward(port) for port in (SSH_PORT, *_ports(spec))]
    return {"data": {"type": "virtualmachine", "attributes": attributes}}


def parse_created(payload: object) -> str | None:
    """The id of the machine that an answer to the creating call names; None: it names none.

    Beside an error only the id inside `data` is a machine's.
    """
    envelope = as_row(payload) or {}
    data = as_row(envelope.get("data"))
    if data is not None:
        return identity(data, "id") or identity(as_row(data.get("attributes")) or {}, "id")
    return None if envelope.get("error") else identity(envelope, "id")


def _resources(key: OfferKey, size: Size, disk_gb: int) -> dict[str, object]:
    return {
        "vcpu_count": size.vcpus,
        "ram_gb": size.ram_gb,
        "storage_gb": disk_gb,
        "gpus": {key.model: {"count": key.count}},
    }


def _forward(port: int) -> dict[str, object]:
    """The marketplace grants another port outside than the one that is asked for."""
    return {"protocol": "tcp", "internal_port": port, "external_port": port}


def _ports(spec: LaunchSpec) -> list[int]:
    """The ports to publish beside SSH."""
    return [port for port in dict.fromkeys(spec.ports) if port != SSH_PORT]


def _cloud_init(spec: LaunchSpec) -> dict[str, object]:
    """The first boot, in the few keys that are taken: the keys first, to let people in early."""
    commands = [_authorize(spec.public_keys)]
    environment = shlex.join(f"{name}={value}" for name, value in spec.env.items())
    if environment:
        commands.append(rf"printf '%s\n' {environment} >> /etc/environment")
    commands.append(_DRIVER)
    if not spec.on_start:
        return {"package_update": False, "runcmd": commands}
    script = {
        "path": _ON_START,
        "content": spec.on_start,
        "owner": "root:root",
        "permissions": "0700",
    }
    commands.append(" ".join(filter(None, ("env", environment, "bash", _ON_START))))
    return {"package_update": False, "write_files": [script], "runcmd": commands}


def _authorize(keys: tuple[str, ...]) -> str:
    """Puts the keys where `ssh_key` may not have put them; it takes one key only, besides."""
    folder = f"/home/{SSH_USER}/.ssh"
    lines = shlex.join(keys)
    return (
        rf"mkdir -p {folder} && printf '%s\n' {lines} > {folder}/authorized_keys; "
        f"chmod 700 {folder}; chmod 600 {folder}/authorized_keys; "
        f"chown -R {SSH_USER}:{SSH_USER} {folder}"
    )


def _check(spec: LaunchSpec) -> None:
    """Raise `InvalidRequest` for whatever cannot be had, or is more than the marketplace takes."""
    if spec.launch_mode is not LaunchMode.SSH or spec.args or spec.template_hash_id is not None:
        raise InvalidRequest("TensorDock rents machines for SSH, without templates or arguments.")
    if spec.image is not None or spec.watchdog_at is not None:
        raise InvalidRequest("TensorDock's machines have no image of one's own, and no watchdog.")
    if not spec.public_keys:
        raise InvalidRequest("A machine of TensorDock needs a key that can log in.")
    environment = sum(len(name) + len(value) for name, value in spec.env.items())
    limits = (
        ("The label", len(spec.label), _LONGEST_NAME, "characters"),
        ("The start script", len(spec.on_start or ""), _LONGEST_SCRIPT, "characters"),
        ("The environment", environment, _LONGEST_ENVIRONMENT, "characters"),
        ("The list of ports", len(_ports(spec)), MOST_FORWARDS - 1, "ports"),
    )
    for what, size, most, unit in limits:
        if size > most:
            raise InvalidRequest(f"{what} has {size} {unit}; TensorDock takes at most {most}.")
    for name, value in spec.env.items():
        if not name.isidentifier():
            raise InvalidRequest(f"{cleaned(name)} cannot be the name of a variable.")
        if any(letter in _ENDS_OF_VALUES for letter in value):
            raise InvalidRequest(f"The value of {name} would be cut off: it has a # or a new line.")
