"""What a creation came to: the session with its secrets and warnings, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass, field

from broker.decide.images import plan_image
from broker.errors import (
    BrokerError,
    InsufficientFunds,
    ProviderRefused,
    ProviderUnavailable,
    StaleInventory,
)
from broker.model import Attempt, Overview, Reason, Session, Status, Warned
from broker.usecases.rules import Secrets
from providers.base import LaunchMode


@dataclass(frozen=True, slots=True)
class Opened:
    """A session, with the secrets that are told once."""

    overview: Overview
    secrets: Secrets = field(repr=False)
    warnings: tuple[Warned, ...] = ()


def require_opened(session: Session, attempt: Attempt) -> None:
    """Raise what there is to answer where the provider has made nothing that was to live."""
    if session.status is Status.FAILED and attempt.deadline_at is None:
        raise _refusal(session, attempt)


def stale(offer_id: str, **more: str) -> StaleInventory:
    """The offer was there, and is gone; `more` are further fields of the answer."""
    return StaleInventory(
        "offer unavailable due to stale inventory",
        extra={
            "error_type": StaleInventory.code,
            "offer_id": offer_id,
            "provider": offer_id.partition("-")[0],
            "message": "The selected offer is no longer available. "
            "Please refresh inventory and select a different offer.",
            **more,
        },
    )


def warnings_about(
    session: Session, attempt: Attempt, *, is_settled: bool = True
) -> tuple[Warned, ...]:
    """What the consumer should know; `is_settled`: the provider has answered, or failed to."""
    warnings = []
    request = session.request
    if attempt.deadline_at is None and not session.is_final:
        known = "did not answer" if is_settled else "has not answered yet"
        if attempt.accepted_at is not None:
            known = "made a machine that does not start"
        message = f"The provider {known}: the launch goes on by itself and may still fail."
        warnings.append(Warned("outcome_unknown", message))
    if ignored := plan_image(request).ignored:
        message = f"The template decides what runs: {', '.join(ignored)} has no effect."
        warnings.append(Warned("ignored_beside_template", message))
    if not request.managed_access and request.idle_threshold is not None:
        message = "Without managed access idleness is known from heartbeats alone."
        warnings.append(Warned("idle_unobservable", message))
    if not request.managed_access and request.launch_mode is LaunchMode.SSH:
        message = (
            "Without managed access a restart of the broker leaves it only the answer of the "
            "SSH host as proof."
        )
        warnings.append(Warned("verification_limited", message))
    return tuple(warnings)


def _refusal(session: Session, attempt: Attempt) -> BrokerError:
    session_of = {"session_id": session.id}
    detail = session.error or ""
    match attempt.reason:
        case Reason.OFFER_GONE:
            return stale(attempt.offer.id, **session_of)
        case Reason.INSUFFICIENT_FUNDS:
            return InsufficientFunds(detail, extra=session_of)
        case Reason.PROVIDER_UNAVAILABLE:
            return ProviderUnavailable(detail, extra=session_of)
        case _:
            return ProviderRefused(detail, extra=session_of)
