"""Real answers of Vast.ai, and the examples of its documents."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from providers.answers import Context
from providers.base import Endpoint, Instance, InstanceStatus
from providers.errors import (
    BadResponse,
    InvalidRequest,
    NotFound,
    OfferGone,
    ProviderError,
    RateLimited,
    Unauthorized,
    Unavailable,
)
from providers.http import Answer
from providers.vastai.creation import Creation, parse_creation
from providers.vastai.failures import failure_of, payload_of
from providers.vastai.walk import Walk, is_complete, offer_list, take_answer
from providers.vastai.wire import AttachedKey, parse_keys, parse_single, parse_templates
from tests.unit.vastai_rows import NOW

FOLDER = Path(os.environ.get("RECORDED_MARKETS", ""))

pytestmark = pytest.mark.skipif(
    not os.environ.get("RECORDED_MARKETS") or not (FOLDER / "vast_instances").is_dir(),
    reason="RECORDED_MARKETS names no folder of recordings",
)


def recorded(*path: str) -> Any:
    """A recorded document."""
    return json.loads(FOLDER.joinpath(*path).read_bytes())


def an_instance(name: str, instance_id: str) -> Instance:
    """A recorded answer about one instance."""
    return parse_single(recorded("vast_instances", name), instance_id, NOW)


def examples(method: str, part: str) -> Iterator[tuple[int, Any]]:
    """The documents' examples of a call: status and body."""
    for example in recorded("vast_api_docs", "postman_response_examples.json"):
        if example["method"] == method and part in example["endpoint"]:
            yield example["status"], example["body"]


def test_a_running_instance_is_reached_directly_and_by_the_proxy() -> None:
    """Its environment is an object, its port map holds every port twice."""
    instance = an_instance("vastcli_2024-11-05_running.json", "13445220")

    assert (instance.status, instance.detail) == (
        InstanceStatus.RUNNING,
        "success, running example/vasttest_latest/ssh",
    )
    assert instance.ssh == (Endpoint("198.51.100.188", 43486), Endpoint("ssh8.vast.ai", 15220))
    assert instance.ports == {5000: Endpoint("198.51.100.188", 43035)}
    assert instance.price_per_hour == Decimal("2.672222222222222")
    assert (instance.gpu_type, instance.gpu_count, instance.label) == ("RTX 3090", 1, None)


def test_a_loading_instance_tells_the_line_of_its_pull() -> None:
    """There is no port map yet, and all states but one say running."""
    instance = an_instance("vastcli_2024-11-05_loading.json", "13518557")

    assert (instance.status, instance.detail) == (
        InstanceStatus.STARTING,
        "59729b65119e: Pull complete",
    )
    assert (instance.ssh, instance.ports) == ((Endpoint("ssh4.vast.ai", 11610),), {})


@pytest.mark.parametrize(
    ("name", "instance_id", "proxy"),
    [
        ("instance_2026-02-07_running_ssh_proxy.json", "31051696", ("ssh7.vast.ai", 11696)),
        ("sdk_fixture_instance.json", "12345678", ("ssh4.vast.ai", 21506)),
    ],
)
def test_an_instance_without_a_port_map_is_reached_by_the_proxy(
    name: str, instance_id: str, proxy: tuple[str, int]
) -> None:
    """Half of the fields are null, or missing."""
    instance = an_instance(name, instance_id)

    assert instance.status is InstanceStatus.RUNNING
    assert instance.ssh == (Endpoint(*proxy),)


def test_a_rental_is_followed_from_its_creation() -> None:
    """The creation's contract is the id of the instance."""
    _, created, shown, _ = recorded("vast_instances", "rental_trace_2026.json")["steps"]

    assert parse_creation(json.dumps(created["body"])) == Creation("33402296", is_started=True)
    instance = parse_single({"instances": shown["body"]}, "33402296", NOW)
    assert instance.ssh == (Endpoint("203.0.113.112", 30022), Endpoint("ssh3.vast.ai", 12296))


def test_a_recorded_template_is_read() -> None:
    """Nothing of it is dropped."""
    read = parse_templates(recorded("vast_templates", "template_2026-02_ollama.json"), NOW)

    assert (len(read.templates), read.dropped) == (1, 0)
    assert read.templates[0].tagged_image == "vastai/ollama:0.15.4"


def test_every_recorded_market_is_walked() -> None:
    """Not one row is dropped, not even of an answer that is not in the order of prices."""
    files = [
        path
        for path in sorted((FOLDER / "vast_offers").glob("*.json"))
        if "renamed" not in path.name
    ]
    rows = known = dropped = 0
    for path in files:
        payload = json.loads(path.read_bytes())
        rows += len(payload if isinstance(payload, list) else payload["offers"])
        listed = offer_list(take_answer(Walk(), payload, NOW), 0)
        known, dropped = known + len(listed.offers), dropped + listed.dropped

    assert dropped == 0
    assert 0.9 * rows < known <= rows


def test_an_answer_of_64_recorded_rows_is_not_the_whole_market() -> None:
    """Nothing in it says so, but the number."""
    payload = recorded("vast_offers", "gpuradar_2026-08-17T0843Z_reduced.json")

    walk = take_answer(Walk(), payload, NOW)

    assert walk.floor == Decimal("0.2017")
    assert not is_complete(walk)


def test_chatter_behind_the_answer_is_no_answer() -> None:
    """Half-read JSON is not read."""
    text = FOLDER.joinpath(
        "vast_offers", "malformed", "vastcli_2024-11-05_extra_data.json.txt"
    ).read_text()

    with pytest.raises(BadResponse):
        payload_of(Answer(200, {"Content-Type": "application/json"}, text), Context(NOW))


WORDS: dict[tuple[int, str], type[ProviderError]] = {
    (400, "invalid_args"): InvalidRequest,
    (400, "invalid_price"): InvalidRequest,
    (400, "invalid_request"): InvalidRequest,
    (400, "invalid_id"): InvalidRequest,
    (400, "no_ssh_key"): InvalidRequest,
    (400, "invalid_token"): BadResponse,
    (400, "string"): InvalidRequest,
    (401, "string"): Unauthorized,
    (401, "auth_error"): Unauthorized,
    (403, "auth_error"): Unauthorized,
    (404, "auth_error"): Unauthorized,
    (403, "not_allowed"): InvalidRequest,
    (403, "not_authorized"): Unauthorized,
    (404, "no_such_ask"): OfferGone,
    (410, "no_such_ask"): OfferGone,
    (404, "no_such_instance"): NotFound,
    (404, "no_such_ssh_key"): InvalidRequest,
    (404, "no_such_user"): BadResponse,
    (404, "string"): BadResponse,
    (483, "invalid_args"): InvalidRequest,
}
"""What the documents' examples of errors mean, by status and code."""


def test_every_documented_error_has_its_class() -> None:
    """Rate limits all say how long to wait, and no status above 499 is anybody's fault."""
    documented = [
        *recorded("vast_api_docs", "postman_response_examples.json"),
        *recorded("vast_api_docs", "openapi_examples.json")["response_examples"],
    ]
    read = set()
    for example in documented:
        status, body = int(example["status"]), example["body"]
        if status < 400:
            continue
        failure = failure_of(Answer(status, {}, json.dumps(body)), Context(NOW))
        code = body.get("error", "") if isinstance(body, dict) else ""
        expected = WORDS.get((status, code), RateLimited if status == 429 else ProviderError)
        assert isinstance(failure, Unavailable if status >= 500 else expected), (status, body)
        read.add((status, code))

    assert WORDS.keys() <= read


def test_the_documented_destruction_of_nothing_proves_it() -> None:
    """One example has a code of its own for it."""
    [missing] = [body for status, body in examples("DELETE", "/destroy") if status == 404]

    assert isinstance(failure_of(Answer(404, {}, json.dumps(missing)), Context(NOW)), NotFound)


def test_the_documented_keys_are_json_in_a_text() -> None:
    """A list inside of a string."""
    [keys] = [body for status, body in examples("GET", "/show ssh-keys") if status == 200]

    assert parse_keys(keys) == (AttachedKey("1", "ssh-rsa AAAA..."),)
