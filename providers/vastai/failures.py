"""From an answer that refuses to the class of the refusal. Pure.

The marketplace's status codes are unreliable (a wrong key is a 401 or a 404, an offer that
is gone a 400, a 404 or a 410), so its words decide and the status only where they say
nothing. The whole table is in docs/wire/vastai.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from http import HTTPStatus

from providers.answers import (
    Context,
    Meanings,
    decoded,
    first_wait,
    is_html,
    plain_text,
    told_waits,
)
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
from providers.fields import as_number, as_row, cleaned
from providers.http import Answer
from providers.vastai.creation import Creation, parse_creation

_CAUTION = Decimal("1.2")
"""How much longer than the told interval to wait: it is counted at the marketplace."""
_THRESHOLD = re.compile(r"threshold\s*=\s*([0-9.]{1,10})(?:\*([0-9.]{1,10}))?")


@dataclass(frozen=True, slots=True)
class _Words:
    """What an answer says, in the places where this marketplace says it."""

    error: str
    message: str
    retry_after: object = None

    @property
    def all(self) -> str:
        return f"{self.error} {self.message}".lower()


_RATE_LIMIT = re.compile(
    r"too frequent|too many requests|rate_limit_exceeded|search_quota_exceeded"
)
_MEANINGS = Meanings(
    (OfferGone, ("no_such_ask", r"\binstance type\b.*\b(?:no longer|not) available")),
    (
        InsufficientFunds,
        ("insufficient_credit", "spend_rate_limit", "missing_billing", "lacks? credit"),
    ),
    (InvalidRequest, ("no_such_ssh_key", "no ssh keys found")),
    (NotFound, ("no_such_instance", "not_found instance not found")),
    (
        Unauthorized,
        (
            *("auth_error", "invalid user key", "session expired", "two factor"),
            *("requires login", "authentication credentials", "not_authorized"),
        ),
    ),
    (BadResponse, ("deprecated_endpoint", "is deprecated", "invalid_token")),
    (Unavailable, ("currently unavailable",)),
    (
        InvalidRequest,
        (
            *(r"\binvalid_\w", "invalid args", "not_allowed", "not your own"),
            *("no_ssh_key", "team_ssh_keys", "label_too_long"),
        ),
    ),
)
"""In this order: some codes are wrapped in others."""

_REFUSALS = frozenset({400, 402, 409, 411, 413, 422, 483})


def failure_of(answer: Answer, context: Context) -> ProviderError:
    """The error that an answer tells of: a status of 400 and more, or `success: false`.

    A search quota is waited for until the next UTC midnight.
    """
    words = _read(answer.text)
    message = cleaned(words.message or words.error, context.secret)
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS or _RATE_LIMIT.search(words.all):
        wait = _wait(answer, words, context)
        return RateLimited(message or None, retry_after=wait)
    unsaid = f"The marketplace's answer cannot be understood (status {answer.status})."
    return _kind(answer, words)(message or unsaid)


def payload_of(answer: Answer, context: Context) -> object:
    """The value in an answer that succeeded; raises what `failure_of` makes of any other."""
    payload = decoded(answer.text)
    is_failed = (as_row(payload) or {}).get("success") is False
    if payload is None or is_failed or not answer.is_success:
        raise failure_of(answer, context)
    return payload


def creation_of(answer: Answer, context: Context) -> Creation:
    """The machine that an answer to the creating call names, whatever else it says.

    Raises what `failure_of` makes of an answer that names none.
    """
    creation = parse_creation(answer.text)
    if creation is None:
        payload_of(answer, context)
        raise BadResponse("The marketplace's answer does not name the machine.")
    return creation


def next_midnight(now: datetime) -> datetime:
    """When the marketplace's daily quotas begin anew: `now` is UTC."""
    return now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def _kind(answer: Answer, words: _Words) -> type[ProviderError]:
    """By the words; where they are unknown, by the status."""
    status = answer.status
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.REQUEST_TIMEOUT:
        return Unavailable
    meant = _MEANINGS.of(words.all)
    if meant is not None:
        return meant
    if is_html(answer):
        return Unavailable
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return Unauthorized
    is_refused = answer.is_success and as_row(decoded(answer.text)) is not None
    return InvalidRequest if is_refused or status in _REFUSALS else BadResponse


def _read(body: str) -> _Words:
    """The words of an error object, or the plain text. HTML and broken JSON are no words."""
    row = as_row(decoded(body))
    if row is not None:
        said = (cleaned(row.get(name)) for name in ("msg", "message", "detail"))
        message = next((words for words in said if words), "")
        return _Words(cleaned(row.get("error")), message, row.get("retry_after"))
    return _Words("", cleaned(plain_text(body)))


def _wait(answer: Answer, words: _Words, context: Context) -> timedelta:
    """How long to wait after having asked too often."""
    if "search_quota_exceeded" in words.all:
        return next_midnight(context.now) - context.now
    told = (
        *told_waits(answer.headers, context.now),
        as_number(words.retry_after),
        _interval(words.all),
    )
    return first_wait(told, context.default_wait)


def _interval(text: str) -> Decimal | None:
    """The told interval between two calls, `4.5` or `4.5*1.0`, with some caution."""
    found = _THRESHOLD.search(text)
    factors = [as_number(factor) for factor in found.groups("1")] if found else []
    if not factors:
        return None
    product = _CAUTION
    for factor in factors:
        if factor is None:
            return None
        product *= factor
    return product
