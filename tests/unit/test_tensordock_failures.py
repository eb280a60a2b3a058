"""From an answer of TensorDock that refuses to the class of the refusal."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.answers import Context
from providers.errors import (
    BadResponse,
    InsufficientFunds,
    InvalidRequest,
    NotFound,
    OfferGone,
    OutcomeUnknown,
    ProviderError,
    RateLimited,
    Unauthorized,
    Unavailable,
)
from providers.http import Answer
from providers.tensordock.failures import (
    ImageUnavailable,
    NothingThere,
    created_id,
    failure_of,
    payload_of,
    require_accepted,
)
from tests.unit.tensordock_rows import NOW, a_machine
from tests.unit.vastai_rows import anything

PAGE = "<html><body>502 Bad Gateway</body></html>"
TOKEN = "q8Zt5VxKp2LmN7wRb3Yc"
CONTEXT = Context(NOW, timedelta(seconds=30), TOKEN)
SSH_PORT = "SSH port (22) must be forwarded for Ubuntu VMs"


def said(error: object, **fields: Any) -> str:
    """The body of a refusal."""
    return json.dumps({"error": error, **fields})


def issue(message: str, *path: str, code: str = "custom") -> dict[str, object]:
    """One of the things that validation finds wrong."""
    return {"code": code, "message": message, "path": ["data", "attributes", *path]}


def failure(status: int, body: str, headers: dict[str, str] | None = None) -> ProviderError:
    """What the answer means."""
    return failure_of(Answer(status, headers or {}, body), CONTEXT)


IMAGE = issue("Invalid enum value. Expected 'ubuntu2204', received 'x'", "image")
UNKNOWN = "The marketplace's answer cannot be understood (400)."


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, said("No available nodes found", status=400), OfferGone),
        (400, said("No available nodes found"), OfferGone),
        (200, said("No available public IPs on hostnode", status=400), OfferGone),
        (200, said("Hostnode unavailable", status=400), OfferGone),
        (200, said("NO NODES AVAILABLE"), OfferGone),
        (200, said("Nodes unavailable"), OfferGone),
        (200, said("Insufficient capacity, your balance is fine", status=400), OfferGone),
        (200, said("Not enough capacity"), OfferGone),
        (200, said("GPU not available"), OfferGone),
        (200, said("No GPUs available"), OfferGone),
        (200, said("This GPU is sold out"), OfferGone),
        (409, said("Out of stock"), OfferGone),
        (200, said("No available nodes found", status=500), OfferGone),
        (200, said("You need at least $1 to deploy", status=400), InsufficientFunds),
        (400, said("Insufficient funds"), InsufficientFunds),
        (400, said("Your balance is too low"), InsufficientFunds),
        (402, "{}", InsufficientFunds),
        (200, json.dumps({"data": {"error": "No available nodes found"}}), OfferGone),
        (200, json.dumps({"data": {"status": 500, "error": "Odd."}}), Unavailable),
        (200, said({"message": "No available nodes found", "code": 7}), OfferGone),
        (200, said(["No available nodes found"]), OfferGone),
        (200, json.dumps({"status": 400, "message": "Odd."}), InvalidRequest),
        (200, json.dumps({"success": False, "error": "Odd."}), InvalidRequest),
        (200, said("Odd."), InvalidRequest),
        (200, said("Odd.", status=401), Unauthorized),
        (200, said("Odd.", status=500), Unavailable),
        (200, said("An unexpected error during deployment occurred", status=400), Unavailable),
        (400, json.dumps([issue(SSH_PORT, "port_forwards")]), InvalidRequest),
        (400, said(SSH_PORT), InvalidRequest),
        (
            400,
            json.dumps([issue("Must be even", "resources", "vcpu_count"), IMAGE]),
            ImageUnavailable,
        ),
        (400, json.dumps([IMAGE]), ImageUnavailable),
        (400, said("Image ubuntu2404 is not available on this hostnode"), ImageUnavailable),
        (400, said("Invalid image"), ImageUnavailable),
        (400, json.dumps([issue("Required", "name", code="invalid_type")]), InvalidRequest),
        (401, said("Invalid API credentials"), Unauthorized),
        (403, said("Access denied"), Unauthorized),
        (403, said("Insufficient permissions"), Unauthorized),
        (401, "", Unauthorized),
        (404, said("Instance not found"), NotFound),
        (404, json.dumps({"message": "no instance here"}), NotFound),
        (200, said("Instance not found", status=404), NotFound),
        (404, json.dumps({"detail": "Not Found"}), NothingThere),
        (404, "{}", NothingThere),
        (404, "", NothingThere),
        (404, "Not Found", NothingThere),
        (404, json.dumps({"message": "The URL was not found on this server."}), NothingThere),
        (404, json.dumps({"message": "Cannot GET /api/v2/instances/1"}), NothingThere),
        (404, PAGE, Unavailable),
        (400, json.dumps([issue("Expected text", "cloud_init", "permissions")]), InvalidRequest),
        (403, said("You do not have permission to do this"), Unauthorized),
        (405, "{}", InvalidRequest),
        (409, said("Instance is already running"), InvalidRequest),
        (422, "{}", InvalidRequest),
        (408, "", Unavailable),
        (429, said("Rate limit exceeded. Please try again later."), RateLimited),
        (200, said("Rate limit exceeded", status=400), RateLimited),
        (500, said("Instance not found"), Unavailable),
        (500, said("No available nodes found"), Unavailable),
        (502, PAGE, Unavailable),
        (503, "", Unavailable),
        (200, PAGE, Unavailable),
        (403, PAGE, Unavailable),
        (200, "", BadResponse),
        (200, '{"data": {"insta', BadResponse),
        (302, "", BadResponse),
    ],
)
def test_the_words_decide_and_the_status_only_without_them(
    status: int, body: str, expected: type[ProviderError]
) -> None:
    """A refusal may come with 200; capacity is looked for before money."""
    assert type(failure(status, body)) is expected


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 30),
        ({"Retry-After": "7"}, 7),
        ({"retry-after": "7.5"}, 7.5),
        ({"Retry-After": "soon"}, 30),
        ({"Retry-After": "999999"}, 3600),
        ({"X-RateLimit-Reset": "12"}, 12),
        ({"X-RateLimit-Reset": str(int(NOW.timestamp()) + 40)}, 40),
    ],
)
def test_a_rate_limit_may_say_how_long_to_wait(headers: dict[str, str], seconds: float) -> None:
    """The names of the headers are not documented."""
    limited = failure(429, said("Rate limit exceeded"), headers)

    assert isinstance(limited, RateLimited)
    assert limited.retry_after == timedelta(seconds=seconds)


def test_the_wait_that_nobody_told_is_the_callers() -> None:
    """A simulator is asked without pacing."""
    limited = failure_of(Answer(429, {}, ""), Context(NOW, timedelta(seconds=1)))

    assert isinstance(limited, RateLimited)
    assert limited.retry_after == timedelta(seconds=1)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (said("No\x00 available\n\n nodes found"), "No available nodes found"),
        (
            json.dumps([issue("Must be even", "resources", "vcpu_count"), issue("Odd")]),
            "data.attributes.resources.vcpu_count: Must be even; data.attributes: Odd",
        ),
        (said(f"token {TOKEN} is unknown"), "token *** is unknown"),
        (said("Authorization: Bearer abc"), "Authorization: Bearer ***"),
        (said({"code": "odd"}), "odd"),
        ("plain words", "plain words"),
        (PAGE, UNKNOWN),
        ('{"ssh_key": "ssh-', UNKNOWN),
        ('{"cloud_init": {"runcmd": ["x"]}}', UNKNOWN),
    ],
)
def test_the_message_is_the_marketplaces_own(body: str, message: str) -> None:
    """On one line, without a credential, and never what was sent to it."""
    assert str(failure(400, body)) == message


@pytest.mark.parametrize(
    "payload",
    [
        a_machine(),
        a_machine(status="error"),
        {"data": []},
        {"data": {"instances": [], "error": None}, "error": ""},
        {"success": True, "balance": 0},
        {"data": {"status": 7}, "status": 200},
        [],
    ],
)
def test_a_success_is_its_value(payload: object) -> None:
    """A machine's own status is a word: `error` there is no refusal."""
    assert payload_of(Answer(200, {}, json.dumps(payload)), CONTEXT) == payload


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, said("Hostnode unavailable", status=400), OfferGone),
        (200, "", BadResponse),
        (204, "", BadResponse),
        (200, "null", BadResponse),
        (200, PAGE, Unavailable),
        (500, "{}", Unavailable),
        (404, said("Instance not found"), NotFound),
    ],
)
def test_what_is_no_success_is_raised(
    status: int, body: str, expected: type[ProviderError]
) -> None:
    """Also where the status says otherwise."""
    with pytest.raises(expected):
        payload_of(Answer(status, {}, body), CONTEXT)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, '{"data": {"type": "success", "attributes": {"message": "Instance deleted"}}}', None),
        (204, "", None),
        (200, "OK", None),
        (404, said("Instance not found"), NotFound),
        (200, said("Instance not found", status=404), NotFound),
        (500, "{}", Unavailable),
        (200, PAGE, Unavailable),
        (200, json.dumps({"success": False}), InvalidRequest),
        (302, "", BadResponse),
    ],
)
def test_an_end_is_accepted_with_or_without_a_body(
    status: int, body: str, expected: type[ProviderError] | None
) -> None:
    """A refusal in the body of a 200 is one."""
    answer = Answer(status, {}, body)
    if expected is None:
        require_accepted(answer, CONTEXT)
    else:
        with pytest.raises(expected):
            require_accepted(answer, CONTEXT)


MADE = json.dumps({"data": {"type": "virtualmachine", "id": "a-1", "status": "running"}})


@pytest.mark.parametrize("status", [200, 201, 202])
def test_a_creation_gives_the_id_of_its_machine(status: int) -> None:
    """Whichever success it is called."""
    assert created_id(Answer(status, {}, MADE), CONTEXT) == "a-1"


@pytest.mark.parametrize("status", [400, 500])
def test_a_refused_creation_that_names_a_machine_has_made_it(status: int) -> None:
    """It costs money until it is destroyed."""
    assert created_id(Answer(status, {}, MADE), CONTEXT) == "a-1"


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, said("No available nodes found", status=400), OfferGone),
        (400, json.dumps([IMAGE]), ImageUnavailable),
        (400, said(SSH_PORT), InvalidRequest),
        (400, "", InvalidRequest),
        (401, said("Invalid API credentials"), Unauthorized),
        (404, said("Instance not found"), OfferGone),
        (404, said("Location not found"), OfferGone),
        (429, "", RateLimited),
        (429, PAGE, RateLimited),
        (429, "slow down", RateLimited),
        (200, said("You need at least $1"), InsufficientFunds),
        (201, '{"data": {"id": "", "status": "creating"}}', OutcomeUnknown),
        (200, '{"data": {}}', OutcomeUnknown),
        (200, "[]", OutcomeUnknown),
        (200, "", OutcomeUnknown),
        (204, "", OutcomeUnknown),
        (200, '{"data": {"id": "a-', OutcomeUnknown),
        (200, PAGE, OutcomeUnknown),
        (200, said("unexpected error during deployment", status=400), OutcomeUnknown),
        (200, said("Odd.", status=500), OutcomeUnknown),
        (404, PAGE, OutcomeUnknown),
        (404, "", OutcomeUnknown),
        (408, "", OutcomeUnknown),
        (500, said("No available nodes found"), OutcomeUnknown),
        (502, PAGE, OutcomeUnknown),
        (504, "", OutcomeUnknown),
        (302, "", OutcomeUnknown),
    ],
)
def test_only_a_refusal_says_that_nothing_was_made(
    status: int, body: str, expected: type[ProviderError]
) -> None:
    """Everything else may hide a machine, which is then looked for by its name."""
    with pytest.raises(ProviderError) as raised:
        created_id(Answer(status, {}, body), CONTEXT)

    assert type(raised.value) is expected
    assert str(raised.value)


@given(
    status=st.integers(100, 599),
    body=st.text(max_size=50)
    | anything.map(json.dumps)
    | st.dictionaries(
        st.sampled_from(["error", "errors", "status", "data", "message", "success", "path"]),
        anything,
    ).map(json.dumps),
    headers=st.dictionaries(
        st.sampled_from(["Retry-After", "X-RateLimit-Reset", "Content-Type"]), st.text()
    ),
)
def test_every_answer_has_a_class_and_words(
    status: int, body: str, headers: dict[str, str]
) -> None:
    """Nothing that a server may answer raises anything else here."""
    answer = Answer(status, headers, body)
    found = failure_of(answer, CONTEXT)

    assert str(found)
    assert len(str(found)) <= 300
    for read in (payload_of, require_accepted, created_id):
        with suppress(ProviderError):
            read(answer, CONTEXT)
