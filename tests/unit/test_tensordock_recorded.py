"""Recorded answers of TensorDock, and the examples of its documents."""

from __future__ import annotations

import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from providers.answers import Context
from providers.base import InstanceStatus
from providers.errors import (
    BadResponse,
    InvalidRequest,
    NotFound,
    OfferGone,
    OutcomeUnknown,
    ProviderError,
    RateLimited,
    Unauthorized,
)
from providers.http import Answer
from providers.tensordock.creation import parse_created
from providers.tensordock.failures import created_id, failure_of, require_accepted
from providers.tensordock.market import parse_market
from providers.tensordock.wire import parse_instance, parse_instances
from tests.unit.tensordock_rows import NOW

FOLDER = Path(os.environ.get("RECORDED_MARKETS", "")) / "tensordock"

pytestmark = pytest.mark.skipif(
    not os.environ.get("RECORDED_MARKETS") or not FOLDER.is_dir(),
    reason="RECORDED_MARKETS names no folder of recordings",
)


def recorded(name: str) -> Any:
    """A recorded document."""
    return json.loads((FOLDER / name).read_bytes())


def examples(part: str) -> list[Any]:
    """The bodies of the documents' calls that begin so."""
    documents = recorded("v2_instances_docs.json")
    return [row["body"] for row in documents if row["call"].startswith(part)]


def test_the_documents_price_list_is_read() -> None:
    """Eight GPUs at most, and all of its parts in the price."""
    listed = parse_market(recorded("v2_locations_docs.json"), NOW)
    eight = listed.offers[-1]

    assert (len(listed.offers), listed.dropped) == (8, 0)
    assert (eight.gpu_type, eight.vram_gb, eight.country) == ("H100 SXM", 80, "US")
    assert eight.price_per_hour == 8 * Decimal("2.2") + Decimal("0.192") + Decimal("0.517")


def test_a_recorded_price_list_without_its_parts_is_refused() -> None:
    """The price of the GPU alone is no price."""
    with pytest.raises(BadResponse):
        parse_market(recorded("v2_locations_2025-01-29_excerpt.json"), NOW)


def test_every_documented_list_of_machines_is_read() -> None:
    """Two shapes, and a third party's description of one."""
    described = recorded("apievangelist_list-instances.json")["response"]["body"]
    lists = [parse_instances(body) for body in examples("GET /api/v2/instances (")]

    assert [[machine.label for machine in listed] for listed in lists] == [["My Instance"]] * 2
    assert [(m.status, m.gpu_type, m.price_per_hour) for m in parse_instances(described)] == [
        (InstanceStatus.RUNNING, "H100 SXM", Decimal("2.41")),
        (InstanceStatus.STOPPED, None, Decimal("0.05")),
    ]


def test_the_documented_machine_is_read() -> None:
    """Its values are names of types: they are unknown, and no error."""
    [shown] = examples("GET /api/v2/instances/{id}")
    machine = parse_instance(shown, "string")

    assert (machine.status, machine.ports) == (InstanceStatus.STARTING, {})


def test_every_documented_creation_names_its_machine() -> None:
    """In the envelope, whatever else is in it."""
    described = recorded("apievangelist_create-instance.json")["response"]["body"]

    documented = next(iter(examples("POST /api/v2/instances")))
    assert parse_created(documented) == "instance-uuid"
    assert parse_created(described) == "d2a7c8e2-50b5-4e64-9b21-1ed8e0d5b9af"


def test_the_documented_end_is_accepted() -> None:
    """Its answer is a message."""
    [body] = examples("DELETE")

    require_accepted(Answer(200, {}, json.dumps(body)), Context(NOW))


WORDS: dict[tuple[int, str], type[ProviderError]] = {
    (200, "No available nodes found"): OfferGone,
    (200, "Hostnode unavailable"): OfferGone,
    (400, "data.attributes.name: Name is required"): InvalidRequest,
    (400, "SSH port (22) must be forwarded for Ubuntu VMs"): InvalidRequest,
    (401, "Invalid API credentials"): Unauthorized,
    (403, "Access denied"): Unauthorized,
    (429, "Rate limit exceeded. Please try again later."): RateLimited,
    (404, "Instance not found"): NotFound,
    (404, "no instance here"): NotFound,
}


def test_every_recorded_refusal_has_its_class() -> None:
    """Those that are whole, and no success by themselves."""
    found = {}
    for example in recorded("errors.json"):
        answer = Answer(example["http"], {}, json.dumps(example["body"]))
        failure = failure_of(answer, Context(NOW))
        found[example["http"], str(failure).partition(";")[0]] = type(failure)

    assert {key: kind for key, kind in found.items() if key in WORDS} == WORDS


def test_a_recorded_creation_without_an_id_may_have_made_a_machine() -> None:
    """It is looked for by its name."""
    [empty] = [row for row in recorded("errors.json") if row["http"] == 201]
    with pytest.raises(OutcomeUnknown):
        created_id(Answer(201, {}, json.dumps(empty["body"])), Context(NOW))
