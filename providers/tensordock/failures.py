"""From an answer that refuses to the class of the refusal. Pure.

The marketplace refuses with 200 as well: `{"status": 400, "error": "No available nodes found"}`.
So the body decides whether an answer is a refusal, its words decide of which kind, and the
status only where they say nothing. The whole table is in docs/wire/tensordock.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
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
    ImageUnavailable,
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
from providers.fields import Row, as_row, cleaned, whole
from providers.http import Answer
from providers.tensordock.creation import parse_created


class NothingThere(BadResponse):
    """The marketplace finds nothing at this address, and does not say that a machine is gone.

    Together with a list that does not hold the machine either it is the word that it is.
    """


_MEANINGS = Meanings(
    (
        OfferGone,
        (
            r"\bno (?:available|free) (?:nodes?|hostnodes?|gpus?|ports?|public ips?)\b",
            r"\bno (?:hostnodes?|nodes?|gpus?|ports?|public ips?) (?:are )?available",
            r"\b(?:hostnode|nodes?|gpus?|resources?) (?:is |are )?(?:unavailable|not available)",
            r"\b(?:insufficient|not enough) (?:capacity|resources)",
            *("out of stock", "sold out"),
        ),
    ),
    (
        Unauthorized,
        (
            *("invalid api", "invalid credentials", "access denied", r"\bunauthori[sz]ed\b"),
            *("insufficient permission", "permission denied", "have permission"),
        ),
    ),
    (
        InsufficientFunds,
        (r"\bneed at least \$", r"\bbalance\b", r"\binsufficient\b", r"\bnot enough funds"),
    ),
    (RateLimited, ("rate limit", "too many requests")),
    (
        ImageUnavailable,
        (
            r"attributes\.image\b",
            r"\b(?:invalid|unknown|unsupported) image\b",
            r"\bimage\b.{0,80}\b(?:not (?:available|supported|found)|unavailable|unsupported)",
        ),
    ),
    (Unavailable, ("unexpected error during deployment", "internal server error")),
)
"""In this order: "insufficient capacity" is no want of money."""
_OF_A_MACHINE = re.compile(r"\b(?:instance|virtual ?machine|vm)\b")
"""Not "server": a web server says of any path that it is not found on this server."""
_BY_STATUS = {
    HTTPStatus.UNAUTHORIZED: Unauthorized,
    HTTPStatus.FORBIDDEN: Unauthorized,
    HTTPStatus.PAYMENT_REQUIRED: InsufficientFunds,
    HTTPStatus.REQUEST_TIMEOUT: Unavailable,
    HTTPStatus.TOO_EARLY: Unavailable,
}

_ERROR_NAMES = ("error", "errors")
_MESSAGE_NAMES = ("message", "msg", "detail", "title", "code")
_MOST_ISSUES = 5


def failure_of(answer: Answer, context: Context) -> ProviderError:
    """The error that an answer tells of: a status of 400 and more, outside or inside the body."""
    message = cleaned(_message(answer), context.secret)
    kind = _kind(answer, message.lower())
    if kind is RateLimited:
        wait = first_wait(told_waits(answer.headers, context.now), context.default_wait)
        return RateLimited(message or None, retry_after=wait)
    return kind(message or f"The marketplace's answer cannot be understood ({answer.status}).")


def payload_of(answer: Answer, context: Context) -> object:
    """The value in an answer that succeeded; raises what `failure_of` makes of any other."""
    payload = decoded(answer.text)
    if payload is None or is_refusal(answer):
        raise failure_of(answer, context)
    return payload


def require_accepted(answer: Answer, context: Context) -> None:
    """Raise what `failure_of` makes of an answer that refuses. It may succeed without a body."""
    if is_refusal(answer) or is_html(answer):
        raise failure_of(answer, context)


def created_id(answer: Answer, context: Context) -> str:
    """The id of the machine that an answer to the creating call names, whatever else it says.

    Raises `OutcomeUnknown` where a machine may have been made all the same, and what the
    refusal means where none was: an offer whose site is not found is gone.
    """
    made = parse_created(decoded(answer.text))
    if made is not None:
        return made
    if answer.is_success and not is_refusal(answer):
        raise OutcomeUnknown("The marketplace's answer does not name the machine that was made.")
    failure = failure_of(answer, context)
    is_told = as_row(decoded(answer.text)) is not None
    if is_told and isinstance(failure, NotFound | NothingThere):
        raise OfferGone(str(failure))
    if isinstance(failure, Unavailable | BadResponse):
        raise OutcomeUnknown(str(failure)) from failure
    raise failure


def is_refusal(answer: Answer) -> bool:
    """Whether an answer says that nothing was done: by its status, or in its body."""
    row = as_row(decoded(answer.text)) or {}
    data = as_row(row.get("data")) or {}
    is_told = any(part.get(name) for part in (row, data) for name in _ERROR_NAMES)
    is_failed = row.get("success") is False or _told_status(row) is not None
    return not answer.is_success or is_told or is_failed


def _told_status(row: Row) -> int | None:
    """The status of a refusal inside the body. A machine's own `status` is a word."""
    status = whole(row, "status")
    return status if status is not None and status >= HTTPStatus.BAD_REQUEST else None


def _kind(answer: Answer, words: str) -> type[ProviderError]:
    """By the words; where they are unknown, by the status inside the body or outside."""
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimited
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR or is_html(answer):
        return Unavailable
    meant = _MEANINGS.of(words)
    if meant is not None:
        return meant
    row = as_row(decoded(answer.text)) or {}
    inner = as_row(row.get("data")) or {}
    status = _told_status(row) or (_told_status(inner) if inner.get("error") else None)
    status = status or answer.status
    if status == HTTPStatus.NOT_FOUND:
        return NotFound if _OF_A_MACHINE.search(words) else NothingThere
    return _by_status(status, is_refusal(answer))


def _by_status(status: int, is_refused: bool) -> type[ProviderError]:
    if status in _BY_STATUS:
        return _BY_STATUS[HTTPStatus(status)]
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Unavailable
    is_success = status < HTTPStatus.MULTIPLE_CHOICES
    is_error = status >= HTTPStatus.BAD_REQUEST
    return InvalidRequest if is_error or (is_success and is_refused) else BadResponse


def _message(answer: Answer) -> str:
    """What an answer says. HTML and broken JSON are no words."""
    payload = decoded(answer.text)
    row = as_row(payload) or {}
    data = as_row(row.get("data")) or {}
    told = [part[name] for part in (row, data) for name in _ERROR_NAMES if part.get(name)]
    if payload is not None:
        return _said(told[0] if told else payload)
    return plain_text(answer.text)


def _said(value: object) -> str:
    """The words of an error: a text, an object, or a list of what is wrong and where."""
    if isinstance(value, list):
        issues = [_said(one) for one in value[:_MOST_ISSUES] if isinstance(one, str | Mapping)]
        return "; ".join(issue for issue in issues if issue)
    row = as_row(value)
    if row is None:
        return cleaned(value)
    words = next((said for name in _MESSAGE_NAMES if (said := cleaned(row.get(name)))), "")
    path = row.get("path")
    where = ".".join(str(step) for step in path) if isinstance(path, list) else ""
    return f"{where}: {words}" if where and words else words
