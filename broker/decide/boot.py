"""Why a machine that the provider has made is given up before it ever worked."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from broker.decide.money import shown
from broker.model import Attempt, Reason, Session
from providers.base import BootFailure, Instance

_REASONS = {
    None: Reason.BOOT_FAILED,
    BootFailure.HOST: Reason.BOOT_FAILED,
    BootFailure.GPU_RUNTIME: Reason.GPU_RUNTIME_BROKEN,
    BootFailure.IMAGE: Reason.IMAGE_UNAVAILABLE,
}


_ROUNDING = Decimal("0.001")
"""A marketplace's list and its bill may round differently; this much is no other price."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is wrong with a machine: a word and a sentence."""

    reason: Reason
    detail: str


def judge_price(
    session: Session, attempt: Attempt, instance: Instance, tolerance: Decimal
) -> Wrong | None:
    """Wrong where the provider charges more than the offer said, and `tolerance` beside it.

    What the consumer named as the most there is to pay is exceeded by no tolerance.
    """
    quoted = attempt.offer.price_with_disk(session.request.disk_gb)
    most, price = session.request.criteria.max_price, instance.price_per_hour
    if price is None or price <= quoted:
        return None
    is_dearer = price > quoted * (1 + tolerance)
    is_too_dear = most is not None and price > most + _ROUNDING
    if not (is_dearer or is_too_dear):
        return None
    told, expected = shown(price), shown(quoted)
    detail = f"The provider charges ${told:f}/h where the offer said ${expected:f}/h"
    detail += f" and you said ${shown(most):f}/h at most." if most and is_too_dear else "."
    return Wrong(Reason.PRICE_CHANGED, detail)


def judge_failure(session: Session, instance: Instance) -> Wrong:
    """Why an instance that is FAILED will never run."""
    reason, words = _REASONS[instance.failure], said_of(instance)
    match reason:
        case Reason.IMAGE_UNAVAILABLE:
            image = f"The image {session.image}" if session.image else "The image"
            detail = f"{image} cannot be had{words} No other offer would help."
        case Reason.GPU_RUNTIME_BROKEN:
            detail = f"The host cannot give its GPUs to machines{words}"
        case _:
            detail = f"The provider could not start the machine{words}"
    return Wrong(reason, detail)


def said_of(instance: Instance) -> str:
    """The end of a sentence about an instance: the provider's own words, or none."""
    words = instance.detail.strip().removesuffix(".")
    return f": {words}." if words else "."
