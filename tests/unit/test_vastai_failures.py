"""From an answer of Vast.ai that refuses to the class of the refusal."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

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
    ProviderError,
    RateLimited,
    Unauthorized,
    Unavailable,
)
from providers.http import Answer
from providers.vastai.failures import failure_of, next_midnight, payload_of
from tests.unit.vastai_rows import NOW, anything

KEY = "fedcba9876543210" * 4
CONTEXT = Context(NOW, timedelta(seconds=5), KEY)
JSON = {"Content-Type": "application/json"}
PAGE = "<html><head><title>502 Bad Gateway</title></head></html>"


def a_failure(error: str = "", msg: str = "", **more: object) -> str:
    """A body in the usual shape."""
    return json.dumps({"success": False, "error": error, "msg": msg, **more})


def failure(status: int, body: str, headers: dict[str, str] = JSON) -> ProviderError:
    """What such an answer tells of."""
    return failure_of(Answer(status, headers, body), CONTEXT)


NO_SUCH_ASK = "error 404/3603: no_such_ask  Instance type by is not available."


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (401, a_failure("auth_error", "Invalid user key"), Unauthorized),
        (403, a_failure("auth_error", "This action requires login."), Unauthorized),
        (404, a_failure("auth_error", "Invalid user key"), Unauthorized),
        (200, a_failure("auth_error", "Invalid user key"), Unauthorized),
        (404, json.dumps({"msg": "Session expired. Please log in again."}), Unauthorized),
        (401, json.dumps({"msg": "Two Factor Authentication is required"}), Unauthorized),
        (401, '{"detail": "Authentication credentials were not provided."}', Unauthorized),
        (401, "", Unauthorized),
        (403, a_failure("not_authorized", "Not authorized to view logs"), Unauthorized),
        (403, "{}", Unauthorized),
        (400, a_failure("invalid_args", NO_SUCH_ASK, ask_id=29907796), OfferGone),
        (404, a_failure("invalid_args", NO_SUCH_ASK), OfferGone),
        (404, a_failure("no_such_ask", "Instance type by id 12 is not available"), OfferGone),
        (
            410,
            a_failure("no_such_ask", "error 410/3907: no_such_ask Instance type 7 is no longer"),
            OfferGone,
        ),
        (410, a_failure("gone", "Instance type 7 is no longer available."), OfferGone),
        (
            400,
            a_failure("insufficient_credit", "Your account lacks credit; add."),
            InsufficientFunds,
        ),
        (400, a_failure("", "Your account lacks credit"), InsufficientFunds),
        (400, a_failure("spend_rate_limit", "New accounts may spend"), InsufficientFunds),
        (200, a_failure("missing_billing", "no card"), InsufficientFunds),
        (404, a_failure("no_such_instance", "Instance 7 not found."), NotFound),
        (404, a_failure("not_found", "Instance not found"), NotFound),
        (404, a_failure("no_such_ssh_key", "Instance not found."), InvalidRequest),
        (404, a_failure("", "No SSH keys found"), InvalidRequest),
        (404, a_failure("not_found", "Team owner not found"), BadResponse),
        (404, '{"detail": "Not Found"}', BadResponse),
        (404, "", BadResponse),
        (
            410,
            a_failure("deprecated_endpoint", "/api/v0/instances/ is deprecated. Use /api/v1/…"),
            BadResponse,
        ),
        (400, a_failure("invalid_token", "Invalid pagination token"), BadResponse),
        (400, a_failure("invalid_request", "dph_total is not a valid search key"), InvalidRequest),
        (400, a_failure("invalid_args", "error 400/3467: Invalid args: 'id'"), InvalidRequest),
        (400, a_failure("invalid_price", "Please set a bid price >= 0.001"), InvalidRequest),
        (400, a_failure("no_ssh_key_for_vm"), InvalidRequest),
        (400, a_failure("label_too_long"), InvalidRequest),
        (400, a_failure("no_ssh_key", "No ssh key provided"), InvalidRequest),
        (400, a_failure("team_ssh_keys_not_supported", "only in personal"), InvalidRequest),
        (400, "invalid env type: env must be a dict", InvalidRequest),
        (403, a_failure("", "error 403/3586: Offer 7 is not your own"), InvalidRequest),
        (403, a_failure("not_allowed", "Hosts can only rent their own machines"), InvalidRequest),
        (411, a_failure("", "something"), InvalidRequest),
        (483, a_failure("invalid_args", "Invalid json_body"), InvalidRequest),
        (200, a_failure("odd", "No."), InvalidRequest),
        (
            200,
            a_failure("", "Required resources are currently unavailable, state change queued."),
            Unavailable,
        ),
        (500, a_failure("server_error", "oops"), Unavailable),
        (500, a_failure("no_such_instance", "Instance 7 not found."), Unavailable),
        (503, "", Unavailable),
        (502, PAGE, Unavailable),
        (408, "", Unavailable),
        (200, PAGE, Unavailable),
        (403, PAGE, Unavailable),
        (404, PAGE, Unavailable),
        (200, '{"instances": [{"id": 1', BadResponse),
        (200, "", BadResponse),
        (200, "[]", BadResponse),
        (302, "", BadResponse),
        (418, "short and stout", BadResponse),
    ],
)
def test_the_words_decide_and_the_status_only_without_them(
    status: int, body: str, expected: type[ProviderError]
) -> None:
    """The same status means many things, and the same thing comes with many statuses."""
    assert type(failure(status, body)) is expected


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({}, "API requests too frequent", 5),
        ({}, "API requests too frequent: endpoint threshold=4.5", 5.4),
        ({}, '{"detail":"API requests too frequent endpoint threshold=1.0"}', 1.2),
        (
            {},
            json.dumps(
                {
                    "message": "too many requests by the client.\n\nAPI requests too frequent: "
                    "endpoint threshold=4.5*2.0\n\n",
                    "code": "429 Too Many Requests",
                }
            ),
            10.8,
        ),
        ({}, a_failure("rate_limit_exceeded", "endpoint threshold=3.0"), 3.6),
        ({}, a_failure("rate_limit_exceeded", retry_after=9), 9),
        ({}, a_failure("rate_limit_exceeded", "threshold=1.2.3"), 5),
        ({"Retry-After": "7"}, a_failure("x", "threshold=3.0", retry_after=9), 7),
        ({"retry-after": "7.5"}, "", 7.5),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, "threshold=5", 6),
        ({"Retry-After": "-1"}, "", 5),
        ({"Retry-After": "999999"}, "", 3600),
        ({"X-RateLimit-Reset": "30"}, "", 30),
        ({"X-RateLimit-Reset": str(int(NOW.timestamp()) + 40)}, "", 40),
        ({"X-RateLimit-Reset": str(int(NOW.timestamp()) - 40)}, "", 5),
        ({}, PAGE, 5),
    ],
)
def test_a_rate_limit_says_in_many_ways_how_long_to_wait(
    headers: dict[str, str], body: str, seconds: float
) -> None:
    """The header first, then the moment of reset, then the interval with some caution."""
    limited = failure(429, body, headers)

    assert isinstance(limited, RateLimited)
    assert limited.retry_after == timedelta(seconds=seconds)


def test_the_wait_that_nobody_told_is_the_callers() -> None:
    """A simulator is asked without pacing."""
    limited = failure_of(Answer(429, {}, ""), Context(NOW, timedelta(seconds=1)))

    assert isinstance(limited, RateLimited)
    assert limited.retry_after == timedelta(seconds=1)


def test_an_exceeded_quota_is_waited_for_until_midnight() -> None:
    """It begins anew at midnight UTC, whatever the headers say."""
    limited = failure(429, a_failure("search_quota_exceeded"), {"Retry-After": "1"})

    assert isinstance(limited, RateLimited)
    assert limited.retry_after == timedelta(hours=8)
    assert next_midnight(datetime(2026, 12, 31, 23, 59, tzinfo=UTC)) == datetime(
        2027, 1, 1, tzinfo=UTC
    )


def test_a_rate_limit_without_its_status_is_one_too() -> None:
    """Statuses are not reliable."""
    assert isinstance(failure(400, "API requests too frequent"), RateLimited)


def test_the_message_is_the_marketplaces_own() -> None:
    """Printable, on one line, and at most 300 characters."""
    assert str(failure(400, a_failure("invalid_args", "no\x00 such\n\n thing"))) == "no such thing"
    assert str(failure(400, a_failure("label_too_long"))) == "label_too_long"
    assert str(failure(400, "plain words")) == "plain words"
    assert len(str(failure(400, a_failure("x", "word " * 200)))) == 300


@pytest.mark.parametrize(
    "body",
    [
        a_failure("auth_error", f"key {KEY} is unknown"),
        a_failure("auth_error", f"Authorization: Bearer {KEY[:20]} is unknown"),
        f"bad header: Bearer {KEY}",
        '{"new_contract": 7, "instance_api_key": "' + "a1" * 32 + '", "succ',
        f"<html>{KEY}</html>",
    ],
)
def test_no_message_holds_a_credential(body: str) -> None:
    """Neither the account's key, nor that of an instance in an answer that was cut."""
    message = str(failure(400, body))

    assert KEY[:20] not in message
    assert "a1a1" not in message
    assert message


def test_no_message_holds_the_accounts_key_whatever_it_looks_like() -> None:
    """A simulator's key may be a word."""
    answer = Answer(401, JSON, a_failure("auth_error", "no such key: my-word"))

    assert str(failure_of(answer, Context(NOW, secret="my-word"))) == "no such key: ***"


def test_an_answer_that_was_cut_is_not_quoted() -> None:
    """Nobody knows what it holds."""
    message = str(failure(200, '{"env": {"TOKEN": "hunter2"'))

    assert message == "The marketplace's answer cannot be understood (status 200)."


def test_a_success_is_its_value() -> None:
    """Whatever value that is: the parsers judge it."""
    answer = Answer(200, JSON, '{"instances": null}')

    assert payload_of(answer, CONTEXT) == {"instances": None}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, a_failure("no_such_instance"), NotFound),
        (404, a_failure("no_such_instance"), NotFound),
        (200, "", BadResponse),
        (200, "null", BadResponse),
        (200, '{"offers": [', BadResponse),
        (200, PAGE, Unavailable),
        (500, "{}", Unavailable),
        (301, "{}", BadResponse),
    ],
)
def test_what_is_no_success_is_raised(
    status: int, body: str, expected: type[ProviderError]
) -> None:
    """A 200 that says that it failed has failed."""
    with pytest.raises(expected):
        payload_of(Answer(status, JSON, body), CONTEXT)


@given(
    status=st.integers(100, 599),
    body=st.text(max_size=50)
    | anything.map(json.dumps)
    | st.dictionaries(st.sampled_from(["error", "msg", "detail", "success"]), anything).map(
        json.dumps
    ),
    headers=st.dictionaries(
        st.sampled_from(["Retry-After", "X-RateLimit-Reset", "Content-Type"]), st.text()
    ),
)
def test_every_answer_has_a_class_and_words(
    status: int, body: str, headers: dict[str, str]
) -> None:
    """Nothing that a server may answer raises anything here."""
    found = failure_of(Answer(status, headers, body), CONTEXT)

    assert str(found)
    assert len(str(found)) <= 300
