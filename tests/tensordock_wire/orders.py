"""What a creation asks for, and everything that can be wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from tests.tensordock_wire.places import KNOWN_IMAGES
from tests.tensordock_wire.refusals import Invalid
from tests.wire.answers import Body

SSH = 22
RAM_STEPS_GB = frozenset(
    {
        *(2, 4, 6, 8, 10, 16, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240),
        *(256, 512),
    }
)
_LEAST_STORAGE_GB = 100
_CLOUD_INIT = frozenset({"runcmd", "packages", "package_update", "package_upgrade", "write_files"})
_FILE_FIELDS = frozenset({"path", "content", "owner", "permissions", "encoding"})
_FORWARD_FIELDS = ("internal_port", "external_port")
_PORTS = range(65_536)
_LONGEST_NAME = 60


@dataclass(frozen=True)
class Forward:
    """A port of the host that leads to one of the machine; outside 0: any."""

    inside: int
    outside: int
    protocol: str = "tcp"


@dataclass(frozen=True)
class Order:
    """A creation that makes sense."""

    name: str
    image: str
    vcpus: int
    ram_gb: int
    storage_gb: int
    gpu: str | None
    gpu_count: int
    location_id: str | None
    host_id: str | None
    forwards: tuple[Forward, ...]
    has_own_ip: bool
    ssh_key: str | None
    ssh_key_id: str | None
    cloud_init: Body


def read_order(body: object, key_ids: Collection[str]) -> Order:
    """The order in the body of a creation; `key_ids` are the secrets. Raises `Invalid`."""
    invalid = Invalid()
    data = body.get("data") if isinstance(body, dict) else None
    attributes = data.get("attributes") if isinstance(data, dict) else None
    if not isinstance(attributes, dict):
        invalid.add("invalid_type", "Required", "attributes")
        raise invalid
    _check_names(invalid, attributes)
    _check_resources(invalid, attributes)
    _check_place(invalid, attributes)
    _check_key(invalid, attributes, key_ids)
    _check_forwards(invalid, attributes)
    _check_cloud_init(invalid, attributes.get("cloud_init", {}))
    if invalid.issues:
        raise invalid
    return _order(attributes)


def _order(attributes: Mapping[str, Any]) -> Order:
    resources = attributes["resources"]
    gpu, gpu_count = next(
        ((name, one["count"]) for name, one in (resources.get("gpus") or {}).items()), (None, 0)
    )
    forwards = attributes.get("port_forwards") or []
    return Order(
        name=attributes["name"],
        image=attributes["image"],
        vcpus=resources["vcpu_count"],
        ram_gb=resources["ram_gb"],
        storage_gb=resources["storage_gb"],
        gpu=gpu,
        gpu_count=gpu_count,
        location_id=attributes.get("location_id"),
        host_id=attributes.get("hostnode_id"),
        forwards=tuple(
            Forward(one["internal_port"], one["external_port"], one.get("protocol", "tcp"))
            for one in forwards
        ),
        has_own_ip=attributes.get("useDedicatedIp") is True,
        ssh_key=attributes.get("ssh_key"),
        ssh_key_id=attributes.get("ssh_key_id"),
        cloud_init=attributes.get("cloud_init") or {},
    )


def _check_names(invalid: Invalid, attributes: Mapping[str, Any]) -> None:
    name = attributes.get("name")
    if not isinstance(name, str) or not name:
        invalid.add("invalid_type", "Name is required", "attributes", "name")
    elif len(name) > _LONGEST_NAME:
        invalid.add("too_big", "Name is too long", "attributes", "name")
    image = attributes.get("image")
    if image not in KNOWN_IMAGES:
        add_bad_image(invalid, image)


def add_bad_image(invalid: Invalid, image: object) -> None:
    """Nobody, or not this host, has the image."""
    known = " | ".join(f"'{known}'" for known in KNOWN_IMAGES)
    message = f"Invalid enum value. Expected {known}, received '{image}'"
    invalid.add("invalid_enum_value", message, "attributes", "image")


def _check_resources(invalid: Invalid, attributes: Mapping[str, Any]) -> None:
    path = ("attributes", "resources")
    resources = attributes.get("resources")
    if not isinstance(resources, dict):
        invalid.add("invalid_type", "Required", *path)
        return
    amounts = {name: resources.get(name) for name in ("vcpu_count", "ram_gb", "storage_gb")}
    for name, amount in amounts.items():
        if not _is_count(amount):
            invalid.add("invalid_type", "Expected number", *path, name)
    vcpus, ram_gb, storage_gb = (
        int(amount) if amount and _is_count(amount) else 0 for amount in amounts.values()
    )
    if vcpus % 2:
        invalid.add("custom", "vCPU count must be even", *path, "vcpu_count")
    if ram_gb and ram_gb not in RAM_STEPS_GB:
        invalid.add("custom", "RAM must be one of the offered sizes", *path, "ram_gb")
    if storage_gb < _LEAST_STORAGE_GB:
        message = f"Number must be greater than or equal to {_LEAST_STORAGE_GB}"
        invalid.add("too_small", message, *path, "storage_gb")
    _check_gpus(invalid, resources.get("gpus", {}), needs_one="location_id" in attributes)


def _check_gpus(invalid: Invalid, gpus: object, *, needs_one: bool) -> None:
    path = ("attributes", "resources", "gpus")
    if not isinstance(gpus, dict) or len(gpus) > 1:
        invalid.add("custom", "One GPU model per virtual machine", *path)
        return
    if needs_one and not gpus:
        invalid.add("custom", "At least one GPU is required with location_id", *path)
    for name, one in gpus.items():
        if not isinstance(one, dict) or not _is_count(one.get("count")):
            invalid.add("invalid_type", "Expected number", *path, name, "count")


def _check_place(invalid: Invalid, attributes: Mapping[str, Any]) -> None:
    given = [name for name in ("location_id", "hostnode_id") if attributes.get(name)]
    if len(given) != 1:
        message = "Exactly one of location_id and hostnode_id is required"
        invalid.add("custom", message, "attributes", "location_id")


def _check_key(invalid: Invalid, attributes: Mapping[str, Any], key_ids: Collection[str]) -> None:
    given = [name for name in ("ssh_key", "ssh_key_id") if attributes.get(name)]
    if len(given) != 1 and not str(attributes.get("image")).startswith("windows"):
        message = "Exactly one of ssh_key and ssh_key_id is required"
        invalid.add("custom", message, "attributes", "ssh_key")
    elif given == ["ssh_key_id"] and attributes["ssh_key_id"] not in key_ids:
        invalid.add("custom", "SSH key not found", "attributes", "ssh_key_id")


def _check_forwards(invalid: Invalid, attributes: Mapping[str, Any]) -> None:
    path = ("attributes", "port_forwards")
    forwards = attributes.get("port_forwards") or []
    if not isinstance(forwards, list) or not all(_is_forward(one) for one in forwards):
        invalid.add("invalid_type", "Expected internal_port and external_port", *path)
        return
    is_ubuntu = str(attributes.get("image")).startswith("ubuntu")
    has_ssh = any(one["internal_port"] == SSH for one in forwards)
    if is_ubuntu and attributes.get("useDedicatedIp") is not True and not has_ssh:
        invalid.add("custom", "SSH port (22) must be forwarded for Ubuntu VMs", *path)
    asked = Counter(one["external_port"] for one in forwards if one["external_port"])
    if any(times > 1 for times in asked.values()):
        invalid.add("custom", "External ports must be unique", *path)


def _check_cloud_init(invalid: Invalid, cloud_init: object) -> None:
    path = ("attributes", "cloud_init")
    if not isinstance(cloud_init, dict):
        invalid.add("invalid_type", "Expected object, received string", *path)
        return
    unknown = sorted(set(cloud_init) - _CLOUD_INIT)
    if unknown:
        invalid.add("unrecognized_keys", f"Unrecognized key(s) in object: {unknown}", *path)
    commands = cloud_init.get("runcmd", [])
    if not isinstance(commands, list) or not all(isinstance(one, str) for one in commands):
        invalid.add("invalid_type", "Expected string", *path, "runcmd")
    files = cloud_init.get("write_files", [])
    if not isinstance(files, list) or not all(_is_file(one) for one in files):
        invalid.add("invalid_type", "Expected path and content", *path, "write_files")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_forward(one: object) -> bool:
    if not isinstance(one, dict) or one.get("protocol", "tcp") not in ("tcp", "udp"):
        return False
    ports = [one.get(name) for name in _FORWARD_FIELDS]
    return all(isinstance(port, int) and port in _PORTS for port in ports) and ports[0] != 0


def _is_file(one: object) -> bool:
    if not isinstance(one, dict) or not set(one) <= _FILE_FIELDS:
        return False
    return all(isinstance(one.get(name), str) for name in ("path", "content"))
