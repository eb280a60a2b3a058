"""What Vast.ai answers, as values. Pure: no I/O, no clock.

Every field is optional and odd values survive; what the fields mean is in
docs/wire/vastai.md. A list that is odd in itself is no knowledge: it raises
`BadResponse` and is never read as a shorter one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from providers.base import Instance, Template
from providers.errors import BadResponse, NotFound
from providers.fields import (
    Row,
    as_row,
    cleaned,
    count,
    flag,
    identity,
    instant,
    number,
    positive,
    text,
    verbatim,
    whole,
)
from providers.gpus import gpu_type
from providers.json_text import parse_json
from providers.vastai.addresses import parse_ports, parse_ssh
from providers.vastai.boot import parse_status

PROVIDER = "vastai"


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the account's instances."""

    instances: tuple[Instance, ...]
    next_token: str | None
    """What asks for the next page; None on the last one."""
    total: int | None
    """How many instances the account has in all, where the answer tells it."""


@dataclass(frozen=True, slots=True)
class TemplateList:
    """The templates in an answer."""

    templates: tuple[Template, ...]
    dropped: int
    """Rows that could not be understood."""


@dataclass(frozen=True, slots=True)
class AttachedKey:
    """A public key that the marketplace keeps on an instance."""

    id: str
    public_key: str


def parse_page(payload: object, now: datetime) -> Page:
    """A page of `GET /api/v1/instances/`. Raises `BadResponse` unless every row is understood."""
    envelope = _envelope(payload, "instances")
    rows = envelope["instances"]
    token = envelope.get("next_token")
    if not isinstance(rows, list) or not (token is None or isinstance(token, str)):
        raise BadResponse("The marketplace's list of instances is no list.")
    instances = [parse_instance(row, now) for row in rows]
    known = tuple(instance for instance in instances if instance is not None)
    if len(known) < len(rows):
        raise BadResponse("The marketplace's list of instances has a row without an id.")
    return Page(known, token or None, whole(envelope, "total_instances"))


def parse_single(payload: object, instance_id: str, now: datetime) -> Instance:
    """The answer of `GET /api/v0/instances/{id}/`.

    Raises `NotFound` for an explicit null, the marketplace's word that the instance is gone,
    and `BadResponse` for anything else that is not this instance.
    """
    row = _envelope(payload, "instances")["instances"]
    if row is None:
        raise NotFound
    instance = parse_instance(row, now)
    if instance is None or instance.id != instance_id:
        raise BadResponse("The marketplace's answer is not about the instance that was asked for.")
    return instance


def parse_instance(payload: object, now: datetime) -> Instance | None:
    """One row; None where it has no id."""
    row = as_row(payload) or {}
    instance_id = identity(row, "id")
    if instance_id is None:
        return None
    status, failure = parse_status(row)
    gpu = text(row, "gpu_name")
    return Instance(
        id=instance_id,
        label=verbatim(row, "label"),
        status=status,
        detail=cleaned(row.get("status_msg")),
        ssh=parse_ssh(row),
        ports=parse_ports(row),
        price_per_hour=positive(row, "dph_total"),
        created_at=instant(row, "start_date", now),
        gpu_type=gpu_type(gpu) if gpu else None,
        gpu_count=count(row, "num_gpus"),
        failure=failure,
    )


def parse_credit(payload: object) -> Decimal:
    """Spendable USD in the answer of `GET /api/v0/users/current/`: `balance` is another ledger.

    Raises `BadResponse` where it is not told.
    """
    credit = number(_envelope(payload, "credit"), "credit")
    if credit is None:
        raise BadResponse("The marketplace's answer about the account tells no credit.")
    return credit


def parse_templates(payload: object, now: datetime) -> TemplateList:
    """The templates in a search answer. Raises `BadResponse` where none of its rows can be read."""
    rows = _envelope(payload, "templates")["templates"]
    if not isinstance(rows, list):
        raise BadResponse("The marketplace's list of templates is no list.")
    known: dict[str, Template] = {}
    dropped = 0
    for row in rows:
        template = parse_template(row, now)
        if template is None:
            dropped += 1
        else:
            known.setdefault(template.hash_id, template)
    if rows and not known:
        raise BadResponse("None of the marketplace's templates can be read.")
    return TemplateList(tuple(known.values()), dropped)


def parse_template(payload: object, now: datetime) -> Template | None:
    """One row; None where it has no id of its content, no name or no image."""
    row = as_row(payload) or {}
    hash_id, name, image = identity(row, "hash_id"), text(row, "name"), text(row, "image")
    if hash_id is None or name is None or image is None:
        return None
    runtype = text(row, "runtype")
    has_ssh = flag(row, "use_ssh")
    return Template(
        hash_id=hash_id,
        name=name,
        image=image,
        provider=PROVIDER,
        id=whole(row, "id"),
        tag=text(row, "tag"),
        env=text(row, "env"),
        onstart=text(row, "onstart"),
        runtype=runtype,
        use_ssh=runtype != "args" if has_ssh is None else has_ssh,
        ssh_direct=flag(row, "ssh_direct") is not False,
        recommended=flag(row, "recommended") is True,
        recommended_disk_space=whole(row, "recommended_disk_space"),
        extra_filters=_json_text(row.get("extra_filters")),
        creator_id=whole(row, "creator_id"),
        created_at=instant(row, "created_at", now),
        count_created=whole(row, "count_created"),
    )


def parse_keys(payload: object) -> tuple[AttachedKey, ...]:
    """The keys in the answer of `GET /api/v0/instances/{id}/ssh/`, whose list may be JSON text.

    An answer that says in words that there are none is an empty list. Raises `BadResponse`
    where there is no list.
    """
    envelope = as_row(payload) or {}
    if "no ssh keys found" in cleaned(envelope.get("msg")).lower():
        return ()
    listed = envelope.get("ssh_keys")
    if isinstance(listed, str):
        try:
            listed = parse_json(listed)
        except ValueError:
            listed = None
    if not isinstance(listed, list):
        raise BadResponse("The marketplace's list of SSH keys is no list.")
    keys = (_attached_key(as_row(row) or {}) for row in listed)
    return tuple(key for key in keys if key is not None)


def _attached_key(row: Row) -> AttachedKey | None:
    """One key; some were stored with the quotes of a shell around them."""
    key_id = identity(row, "id")
    line = text(row, "public_key") or text(row, "ssh_key") or text(row, "key")
    return AttachedKey(key_id, line.strip("\"' \t\r\n")) if key_id and line else None


def _json_text(value: object) -> str | None:
    """Conditions as JSON text: sent as an object, answered as a text."""
    if isinstance(value, Mapping):
        return json.dumps(value) if value else None
    return value.strip() or None if isinstance(value, str) else None


def _envelope(payload: object, name: str) -> Row:
    """The object that holds `name`; raises `BadResponse` for any other, and where it failed."""
    envelope = as_row(payload)
    if envelope is None or name not in envelope or envelope.get("success") is False:
        raise BadResponse(f"The marketplace's answer does not hold {name}.")
    return envelope
