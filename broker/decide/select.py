"""Which offer a session rents, and which ones may stand in for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType

from broker.decide.funds import Purse, check_purse, reservation_cost
from broker.decide.money import shown
from broker.decide.offers import Filter, Listed, matches, parse_gpu_types, price_of
from broker.decide.plain import instant_text
from broker.decide.templates import Condition, parse_conditions
from broker.errors import NoOfferFits, OffersPassedOver
from broker.model import Confidential, Criteria, Request, RetryScope, StoragePolicy
from providers.base import INCLUDED_DISK_GB, Capabilities, LaunchMode, Offer, Template

SSH_PORT = 22

_DEARER_AT_MOST = Decimal("1.25")
"""How much a stand-in may cost where the consumer named no price."""

UNLIMITED: Mapping[str, Purse] = MappingProxyType({})
"""Provider -> what its account has left; one that is not there is not limited."""


@dataclass(frozen=True, slots=True)
class Feature:
    """Something of a provider's capabilities that a request cannot do without."""

    field: str
    """Of the request."""
    capability: str
    """Of `Capabilities`."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a session needs of an offer and its provider, whatever the criteria are."""

    disk_gb: int
    reservation: timedelta
    launch_mode: LaunchMode = LaunchMode.SSH
    features: tuple[Feature, ...] = ()
    template_provider: str | None = None
    conditions: tuple[Condition, ...] = ()
    direct_ports: int = 0
    """To be published, SSH's own among them; 0 where a way around will do."""
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Of the environment: they may be secret."""
    on_start: int = 0
    """Characters."""


def needs_of(
    request: Request,
    confidential: Confidential | None = None,
    template: Template | None = None,
) -> Needs:
    """What `request` needs; the conditions are the template's."""
    secret = confidential or Confidential()
    must_keep = request.storage_policy is StoragePolicy.PRESERVE
    is_served = request.launch_mode is LaunchMode.ENTRYPOINT
    asked = {
        Feature("docker_image", "custom_image"): request.docker_image,
        Feature("model_id", "custom_image"): request.model_id,
        Feature("exposed_ports", "published_ports"): request.exposed_ports or is_served,
        Feature("env", "environment"): secret.env,
        Feature("on_start_cmd", "on_start"): secret.on_start_cmd,
        Feature("template_hash_id", "templates"): request.template_hash_id,
        Feature("storage_policy", "preserves_storage"): must_keep,
        Feature("watchdog", "watchdog"): request.watchdog,
    }
    return Needs(
        disk_gb=request.disk_gb,
        reservation=request.reservation,
        launch_mode=request.launch_mode,
        features=tuple(feature for feature, value in asked.items() if value),
        template_provider=template.provider if template else None,
        conditions=parse_conditions(template).conditions if template else (),
        direct_ports=len({*request.exposed_ports, SSH_PORT}) if request.exposed_ports else 0,
        variables=secret.env,
        on_start=len(secret.on_start_cmd or ""),
    )


def unsupported(needs: Needs, capabilities: Capabilities) -> tuple[str, ...]:
    """The fields of the request that the provider cannot serve."""
    fields = [f.field for f in needs.features if not getattr(capabilities, f.capability)]
    if needs.launch_mode not in capabilities.launch_modes:
        fields.append("launch_mode")
    return tuple(fields)


def filter_of(criteria: Criteria, conditions: tuple[Condition, ...] = ()) -> Filter:
    """The conditions of `criteria`, and those of a template, as a filter."""
    return Filter(
        provider=criteria.provider,
        gpu_types=parse_gpu_types(criteria.gpu_type) if criteria.gpu_type else None,
        location=criteria.location,
        min_gpu_count=criteria.gpu_count or 1,
        min_vram=criteria.min_vram or 0,
        max_price=criteria.max_price,
        min_reliability=criteria.min_reliability or 0.0,
        min_cuda=criteria.min_cuda or 0.0,
        trusted_only=not criteria.allow_unverified,
        conditions=conditions,
    )


def fits(
    listed: Listed, wanted: Filter, needs: Needs, purses: Mapping[str, Purse], now: datetime
) -> bool:
    """Whether a session that did not name its offer may rent this one."""
    offer = listed.offer
    return (
        matches(listed, wanted, needs.disk_gb)
        and _is_payable(offer, needs, purses)
        and not offer.interruptible
        and (offer.max_disk_gb is None or offer.max_disk_gb >= needs.disk_gb)
        and has_ports(offer, needs)
        and (offer.max_duration is None or offer.max_duration >= needs.reservation)
        and (listed.passed_over_until is None or listed.passed_over_until <= now)
    )


def has_ports(offer: Offer, needs: Needs) -> bool:
    """Whether as many ports can be published as are needed, as far as is known."""
    return offer.direct_ports is None or offer.direct_ports >= needs.direct_ports


def _is_payable(offer: Offer, needs: Needs, purses: Mapping[str, Purse]) -> bool:
    purse = purses.get(offer.provider)
    return purse is None or purse.pays(reservation_cost(offer, needs.disk_gb, needs.reservation))


def check_payable(offer: Offer, needs: Needs, purses: Mapping[str, Purse]) -> None:
    """Raise InsufficientFunds where the account cannot pay the whole reservation."""
    hours = needs.reservation / timedelta(hours=1)
    disk_gb = offer.rented_disk_gb(needs.disk_gb)
    what = f"{hours:g} h of {offer.id} with {disk_gb} GB of disk"
    cost = reservation_cost(offer, needs.disk_gb, needs.reservation)
    check_purse(purses.get(offer.provider), offer.provider, what, cost)


def rank(
    rows: Iterable[Listed],
    criteria: Criteria,
    needs: Needs,
    capabilities: Mapping[str, Capabilities],
    now: datetime,
    purses: Mapping[str, Purse] = UNLIMITED,
) -> list[Listed]:
    """The offers that fit, the cheapest with the disk asked for first, ties by id."""
    is_fitting = _fitting(criteria, needs, capabilities, purses, now)
    return sorted(filter(is_fitting, rows), key=lambda row: _cost(row, needs))


def _fitting(
    criteria: Criteria,
    needs: Needs,
    capabilities: Mapping[str, Capabilities],
    purses: Mapping[str, Purse],
    now: datetime,
) -> Callable[[Listed], bool]:
    wanted = filter_of(criteria, needs.conditions)
    able = _able_providers(needs, capabilities)
    return lambda row: row.offer.provider in able and fits(row, wanted, needs, purses, now)


def _cost(row: Listed, needs: Needs) -> tuple[Decimal, str]:
    """What makes one offer cheaper than another: the price with the disk asked for, the id."""
    return price_of(row, needs.disk_gb), row.id


def _able_providers(needs: Needs, capabilities: Mapping[str, Capabilities]) -> frozenset[str]:
    return frozenset(
        name
        for name, can in capabilities.items()
        if not unsupported(needs, can) and needs.template_provider in (None, name)
    )


def choose(
    rows: Iterable[Listed],
    criteria: Criteria,
    needs: Needs,
    capabilities: Mapping[str, Capabilities],
    now: datetime,
    purses: Mapping[str, Purse] = UNLIMITED,
) -> Listed | None:
    """The cheapest offer that fits, with the disk asked for; None where none does."""
    is_fitting = _fitting(criteria, needs, capabilities, purses, now)
    best, least, ceiling = None, None, None
    for row in rows:
        if ceiling is not None and row.price > ceiling:
            continue
        if is_fitting(row) and (least is None or _cost(row, needs) < least):
            best, least = row, _cost(row, needs)
            # More disk never makes an offer cheaper: most of a market needs no closer look.
            ceiling = least[0] if needs.disk_gb >= INCLUDED_DISK_GB else None
    return best


def nothing_fits(
    rows: Sequence[Listed],
    criteria: Criteria,
    needs: Needs,
    capabilities: Mapping[str, Capabilities],
    now: datetime,
) -> NoOfferFits:
    """Why `choose` found nothing: whether there are offers that are only passed over for now."""
    untils = {row.id: row.passed_over_until for row in rows if row.passed_over_until is not None}
    unpassed = (replace(row, passed_over_until=None) for row in rows if row.id in untils)
    fitting = [untils[row.id] for row in rank(unpassed, criteria, needs, capabilities, now)]
    if not fitting:
        return NoOfferFits()
    return OffersPassedOver(
        f"No offer fits now: {len(fitting)} that fit failed lately and are passed over, the first "
        f"until {instant_text(min(fitting))}. Try again then, name one by its offer_id, or loosen "
        "the criteria."
    )


def stand_ins(
    rows: Iterable[Listed],
    request: Request,
    needs: Needs,
    tried: Sequence[Offer],
    capabilities: Mapping[str, Capabilities],
    now: datetime,
    purses: Mapping[str, Purse] = UNLIMITED,
) -> list[Listed]:
    """The offers that may stand in for `tried`, the best first.

    `tried` are the offers that this session has had, the first one first: never one of
    them again, nor one of their machines. The scope decides how like the first one a
    stand-in must be; the other criteria of the request hold as they did.
    """
    ids = {offer.id for offer in tried}
    machines = {(offer.provider, offer.machine_id) for offer in tried if offer.machine_id}
    fresh = (
        row
        for row in rows
        if row.id not in ids and (row.offer.provider, row.offer.machine_id) not in machines
    )
    return rank(fresh, _criteria_like(tried[0], request), needs, capabilities, now, purses)


def _criteria_like(first: Offer, request: Request) -> Criteria:
    """The criteria of the request, with its scope's likeness to the first offer.

    A template exists at one provider only.
    """
    asked = request.criteria
    if request.template_hash_id is not None:
        asked = replace(asked, provider=first.provider)
    if asked.max_price is None:
        dearest = first.price_with_disk(request.disk_gb) * _DEARER_AT_MOST
        asked = replace(asked, max_price=shown(dearest))
    least_count = max(first.gpu_count, asked.gpu_count or 1)
    match request.retry_scope:
        case RetryScope.SAME_GPU:
            return replace(asked, gpu_type=first.gpu_type, gpu_count=least_count)
        case RetryScope.SAME_VRAM:
            least_vram = max(first.vram_gb, asked.min_vram or 0)
            return replace(asked, gpu_type=None, gpu_count=least_count, min_vram=least_vram)
        case RetryScope.ANY:
            return replace(asked, gpu_type=None)
