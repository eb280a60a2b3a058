"""What TensorDock answers about machines and money, as values. Pure: no I/O, no clock.

A list comes in three shapes and one machine in none: its keys and its states in any case, its
address and its ports later or never. What the fields mean is in docs/wire/tensordock.md. A list
that is odd in itself is no knowledge: it raises `BadResponse` and is never read as a shorter one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal

from providers.base import BootFailure, Endpoint, Instance, InstanceStatus
from providers.errors import BadResponse, NotFound
from providers.fields import (
    Row,
    as_row,
    cleaned,
    count,
    identity,
    number,
    port_number,
    positive,
    public_host,
    text,
    verbatim,
)
from providers.gpus import gpu_type
from providers.tensordock.creation import SSH_PORT, SSH_USER

_STATUS = {
    "running": InstanceStatus.RUNNING,
    "stopping": InstanceStatus.STOPPED,
    "stopped": InstanceStatus.STOPPED,
    "stoppeddisassociated": InstanceStatus.STOPPED,
    "outbid": InstanceStatus.STOPPED,
    "error": InstanceStatus.FAILED,
    "failed": InstanceStatus.FAILED,
    "deleting": InstanceStatus.ENDING,
    "terminating": InstanceStatus.ENDING,
}
"""Every other word, and none at all, is a machine on its way."""
_GONE = frozenset({"deleted", "terminated"})
_REASONS = {
    "stoppeddisassociated": "Its host has taken the GPUs back",
    "stopped": "It was stopped, and not by the broker",
    "stopping": "It is being stopped, and not by the broker",
}


def parse_instances(payload: object) -> tuple[Instance, ...]:
    """The machines in the answer of `GET /instances`, without those that are gone.

    Raises `BadResponse` unless the list has one of the three known shapes and every row is
    understood.
    """
    rows = [_flat(row) for row in _rows(payload)]
    instances = [(_instance(row), _is_brief(row)) for row in rows if _word(row) not in _GONE]
    known = tuple(replace(one, is_brief=brief) for one, brief in instances if one is not None)
    if len(known) < len(instances):
        raise BadResponse("The marketplace's list of machines has a row without an id.")
    return known


def parse_instance(payload: object, instance_id: str) -> Instance:
    """The answer of `GET /instances/{id}`, which has no envelope, or has one.

    Raises `NotFound` where it says that the machine is deleted, and `BadResponse` for anything
    that is not about this machine.
    """
    envelope = as_row(payload) or {}
    row = _flat(as_row(envelope.get("data")) or envelope)
    instance = _instance(row)
    if instance is None or instance.id != instance_id:
        raise BadResponse("The marketplace's answer is not about the machine that was asked for.")
    if _word(row) in _GONE:
        raise NotFound
    return instance


def parse_balance(payload: object) -> Decimal:
    """USD in the answer of `POST /billing/balance`, of version 0 of the API.

    Raises `BadResponse` where it is not told: unknown money is not zero.
    """
    balance = number(as_row(payload) or {}, "balance")
    if balance is None:
        raise BadResponse("The marketplace's answer about the account tells no balance.")
    return balance


def present_credentials(authorization_id: str, token: str) -> dict[str, str]:
    """The form that version 0 of the API takes instead of a header: it holds a secret."""
    return {"api_key": authorization_id, "api_token": token}


def legacy_address(api_url: str) -> str | None:
    """Where version 0 of the API is, beside version 2 at `api_url`; None where that is not told."""
    base, version, rest = api_url.rstrip("/").rpartition("/v2")
    return f"{base}/v0" if version and not rest else None


def _rows(payload: object) -> list[object]:
    """The rows of the list, in whichever of its three shapes."""
    data = as_row(payload) and (as_row(payload) or {}).get("data")
    shape = as_row(data)
    if shape is not None:
        inner = as_row(shape.get("attributes")) or {}
        data = shape["instances"] if "instances" in shape else inner.get("instances")
    if not isinstance(data, list):
        raise BadResponse("The marketplace's list of machines is no list.")
    return data


def _flat(value: object) -> Row:
    """A row with its attributes beside its id, and all names in one case."""
    row = as_row(value) or {}
    attributes = as_row(row.get("attributes")) or {}
    return _squashed(attributes) | _squashed(row)


def _squashed(row: Row) -> dict[str, object]:
    return {_squash(str(name)): value for name, value in row.items()}


def _squash(word: str) -> str:
    """`StoppedDisassociated`, `stopped_disassociated` and `STOPPED-disassociated` are one word."""
    return "".join(letter for letter in word.lower() if letter not in "_- ")


def _word(row: Row) -> str:
    return _squash(text(row, "status") or "")


def _is_brief(row: Row) -> bool:
    """Whether a row says that its machine runs, and not where, or for how much."""
    told = ("ipaddress", "portforwards", "ratehourly")
    return _word(row) == "running" and any(row.get(name) is None for name in told)


def _instance(row: Row) -> Instance | None:
    """One machine; None where it has no id."""
    instance_id = identity(row, "id")
    if instance_id is None:
        return None
    host = public_host(text(row, "ipaddress"))
    ports = dict(_ports(row, host))
    forwarded = ports.pop(SSH_PORT, None)
    status = _STATUS.get(_word(row), InstanceStatus.STARTING)
    if status is InstanceStatus.RUNNING and host is None:
        status = InstanceStatus.STARTING
    kind, gpus = _gpus(row)
    return Instance(
        id=instance_id,
        label=verbatim(row, "name"),
        status=status,
        detail=_detail(row, status, is_forwarded=forwarded is not None),
        failure=BootFailure.HOST if status is InstanceStatus.FAILED else None,
        ssh=(forwarded,) if forwarded else (),
        ssh_of_own_address=Endpoint(host, SSH_PORT) if host and not forwarded else None,
        ssh_user=SSH_USER,
        ports=ports,
        price_per_hour=positive(row, "ratehourly"),
        gpu_type=kind,
        gpu_count=gpus,
    )


def _detail(row: Row, status: InstanceStatus, *, is_forwarded: bool) -> str:
    """The marketplace's word for the status, and what it leaves unsaid."""
    said = cleaned(row.get("status"))
    reason = _REASONS.get(_word(row))
    if reason is None and status is InstanceStatus.RUNNING and not is_forwarded:
        reason = "No port is forwarded to its SSH server"
    if reason is None and status is InstanceStatus.STARTING and _word(row) == "running":
        reason = "It has no address yet"
    return cleaned(f"{reason} ({said})") if reason else said


def _ports(row: Row, host: str | None) -> Iterator[tuple[int, Endpoint]]:
    """Port inside the machine -> where it is published."""
    for forward in _forwards(row.get("portforwards")):
        inner, outer = (port_number(forward.get(name)) for name in ("internalport", "externalport"))
        is_tcp = _squash(str(forward.get("protocol") or "tcp")) != "udp"
        if host is not None and inner and outer and is_tcp:
            yield inner, Endpoint(host, outer)


def _forwards(value: object) -> Iterator[Row]:
    """The rows of the list; the map of external to internal ports of version 0 as such rows."""
    if isinstance(value, Mapping):
        for outer, inner in value.items():
            yield {"internalport": inner, "externalport": outer}
    elif isinstance(value, list):
        yield from (_squashed(as_row(forward) or {}) for forward in value)


def _gpus(row: Row) -> tuple[str | None, int | None]:
    """The model and the number of the GPUs: a map by model, or a list."""
    resources = _squashed(as_row(row.get("resources")) or {})
    told = resources.get("gpus")
    if isinstance(told, Mapping):
        rows = [{"gpuv0name": name} | _squashed(as_row(gpu) or {}) for name, gpu in told.items()]
    else:
        rows = [_squashed(as_row(gpu) or {}) for gpu in (told if isinstance(told, list) else ())]
    if len(rows) != 1:
        return None, None
    name = text(rows[0], "v0name") or text(rows[0], "gpuv0name")
    return gpu_type(name) if name else None, count(rows[0], "count")
