"""Whether a request is whole, and whether an offer can serve it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from broker.decide.images import plan_image
from broker.decide.select import Needs, has_ports, unsupported
from broker.decide.templates import unmet
from broker.errors import CapabilityUnsupported, Detail, ValidationFailed
from broker.model import Request
from providers.base import INCLUDED_DISK_GB, Capabilities, Offer, Template

_LONGEST_LIST = 300


def complete(request: Request, template: Template | None, disk_gb: int | None) -> Request:
    """The request with everything filled in that it left open; raises ValidationFailed."""
    recommended = (template.recommended_disk_space if template else None) or INCLUDED_DISK_GB
    return replace(
        request,
        disk_gb=disk_gb or max(INCLUDED_DISK_GB, recommended),
        exposed_ports=plan_image(request, template).ports,
    )


def refuse_what_nobody_can(needs: Needs, capabilities: Sequence[Capabilities]) -> None:
    """Raise CapabilityUnsupported where no provider can do what is needed."""
    missing = [set(unsupported(needs, can)) for can in capabilities]
    if missing and (fields := set.intersection(*missing)):
        raise _unsupported("No configured provider can do this", sorted(fields))


def check_offer(offer: Offer, needs: Needs, capabilities: Capabilities) -> None:
    """Raise CapabilityUnsupported or ValidationFailed where the offer cannot serve the request."""
    fields = unsupported(needs, capabilities)
    if fields:
        raise _unsupported(f"{offer.provider} cannot do this", fields)
    problems = []
    if offer.max_duration is not None and needs.reservation > offer.max_duration:
        hours = offer.max_duration / timedelta(hours=1)
        problems.append(Detail("reservation_hours", f"the offer is there for {hours:g} h at most"))
    if offer.max_disk_gb is not None and needs.disk_gb > offer.max_disk_gb:
        problems.append(Detail("disk_gb", f"the offer has {offer.max_disk_gb} GB at most"))
    if not has_ports(offer, needs):
        can = f"its host can publish {offer.direct_ports} ports, that of SSH among them"
        problems.append(Detail("exposed_ports", can))
    if needs.template_provider not in (None, offer.provider):
        problems.append(Detail("template_hash_id", f"is not a template of {offer.provider}"))
    elif missed := unmet(needs.conditions, offer):
        named = "; ".join(map(str, missed))[:_LONGEST_LIST]
        problems.append(Detail("template_hash_id", f"the offer does not meet: {named}"))
    if problems:
        raise ValidationFailed("The offer cannot serve this request.", details=problems)


def check_texts(needs: Needs, provider: str, capabilities: Capabilities) -> None:
    """Raise ValidationFailed where the provider does not take such text with a machine."""
    limits = capabilities.limits
    room = limits.on_start
    if room is not None and any(feature.field == "watchdog" for feature in needs.features):
        room -= limits.watchdog
    variables = needs.variables.items()
    sizes = [(f"env.{name}", len(value), limits.variable) for name, value in variables]
    whole = sum(len(name) + len(value) for name, value in variables)
    sizes += [("env", whole, limits.environment), ("on_start_cmd", needs.on_start, room)]
    problems = [
        Detail(field, f"has {size} characters; {provider} takes {most} at most")
        for field, size, most in sizes
        if most is not None and size > most
    ]
    problems += [
        Detail(f"env.{name}", f"has {unfit[0]!a}, which {provider} does not take in a value")
        for name, value in variables
        if (unfit := [letter for letter in value if letter in limits.unfit])
    ]
    if problems:
        raise ValidationFailed("The provider does not take this text.", details=problems)


def _unsupported(what: str, fields: Sequence[str]) -> CapabilityUnsupported:
    details = [Detail(field, "is not supported") for field in fields]
    return CapabilityUnsupported(f"{what}: {', '.join(fields)}.", details=details)
