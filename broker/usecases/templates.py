"""The templates of all providers that have some: fetched rarely, kept for hours."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from broker.decide.templates import TemplateFilter, parse_conditions, unmet, untold
from broker.errors import Detail, NotFound, ProviderUnavailable
from broker.model import Warned
from broker.usecases.doors import Door, misnamed_provider
from broker.usecases.single_flight import SingleFlight
from providers.base import Offer, Template
from providers.errors import ProviderError

log = logging.getLogger(__name__)

_KEPT = timedelta(hours=4)
_KEPT_FOR_STRANGERS = timedelta(minutes=1)
"""Templates older than this are fetched again where one is asked for that is not among them."""
_PAUSE_AFTER_ERROR = timedelta(seconds=30)
_PATIENCE = 10.0
"""Seconds that a consumer waits for a provider's templates; they go on being fetched."""


class _Shelf:
    """The templates of one provider."""

    def __init__(self, door: Door, now: Callable[[], datetime]) -> None:
        self.name = door.name
        self.templates: Sequence[Template] | None = None
        """None until they were fetched once."""
        self.is_failing = False
        self._door = door
        self._now = now
        self._asked_at: datetime | None = None
        self._due_at: datetime | None = None
        self._flight = SingleFlight(f"templates-{door.name}", self._fetch)

    async def ensure_fresh(self) -> None:
        """Fetch the templates where they are too old, and wait for a while."""
        if self._due_at is not None and self._now() < self._due_at:
            return
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._flight.join()
        except TimeoutError:
            self.is_failing = True

    def renew(self) -> bool:
        """Let the templates be fetched with the next look, unless they were asked for just now."""
        if self._asked_at is None or self._now() - self._asked_at < _KEPT_FOR_STRANGERS:
            return False
        self._due_at = None
        return True

    async def close(self) -> None:
        await self._flight.close()

    async def _fetch(self) -> None:
        self._asked_at = self._now()
        try:
            self.templates = tuple(await self._door.list_templates())
        except ProviderError as error:
            log.warning("The templates of %s cannot be read: %s", self.name, error)
            self._put_off(is_failing=True, by=_PAUSE_AFTER_ERROR)
        except Exception:
            log.exception("The templates of %s cannot be read.", self.name)
            self._put_off(is_failing=True, by=_PAUSE_AFTER_ERROR)
        else:
            self._put_off(is_failing=False, by=_KEPT)

    def _put_off(self, *, is_failing: bool, by: timedelta) -> None:
        self.is_failing = is_failing
        self._due_at = self._now() + by


_ALL = TemplateFilter()


@dataclass(frozen=True, slots=True)
class TemplateList:
    """Templates by name, and what is missing among them."""

    templates: Sequence[Template]
    warnings: Sequence[Warned] = ()


class Templates:
    """The templates that offers can be rented with."""

    def __init__(self, doors: Mapping[str, Door], *, now: Callable[[], datetime]) -> None:
        self._doors = doors
        self._shelves = [
            _Shelf(door, now) for _, door in sorted(doors.items()) if door.capabilities.templates
        ]

    def misnamed_provider(self, given: Mapping[str, object]) -> Iterable[Detail]:
        """What is wrong with the `provider` among these fields, where no such one is there."""
        return misnamed_provider(self._doors, given)

    async def list(self, wanted: TemplateFilter = _ALL) -> TemplateList:
        """Those that the filter admits.

        Raises ProviderUnavailable where no provider that has templates can be read.
        """
        listed = await _listed(self._shelves)
        found = [template for template in listed.templates if wanted.admits(template)]
        return TemplateList(found, listed.warnings)

    async def get(self, hash_id: str) -> Template:
        """One template; raises NotFound, or ProviderUnavailable."""
        found = await self._find(hash_id)
        if found is None:
            renewed = [shelf.renew() for shelf in self._shelves]
            found = await self._find(hash_id) if any(renewed) else None
        if found is not None:
            return found
        if any(shelf.templates is None for shelf in self._shelves):
            raise ProviderUnavailable("Not all templates can be read now, and this may be one.")
        raise NotFound("There is no such template: list the templates for those there are.")

    async def _find(self, hash_id: str) -> Template | None:
        listed = await self.list()
        return next((one for one in listed.templates if one.hash_id == hash_id), None)

    def has_any(self, provider: str) -> bool:
        """Whether the provider publishes templates at all."""
        return any(shelf.name == provider for shelf in self._shelves)

    async def compatible(self, offer: Offer) -> Sequence[Template]:
        """The templates that the offer can be rented with, as far as offers can be judged.

        Raises ProviderUnavailable where those of its provider cannot be read.
        """
        own = [shelf for shelf in self._shelves if shelf.name == offer.provider]
        listed = await _listed(own)
        return [template for template in listed.templates if _accepts(template, offer)]

    async def close(self) -> None:
        """End what is being fetched."""
        for shelf in self._shelves:
            await shelf.close()


async def _listed(shelves: Sequence[_Shelf]) -> TemplateList:
    """What is on these shelves; raises ProviderUnavailable where none of them can be read."""
    await asyncio.gather(*(shelf.ensure_fresh() for shelf in shelves))
    unread = [shelf.name for shelf in shelves if shelf.templates is None]
    if unread and len(unread) == len(shelves):
        raise ProviderUnavailable(f"The templates of {', '.join(unread)} cannot be read now.")
    found = [template for shelf in shelves for template in shelf.templates or ()]
    return TemplateList(found, [_warning(shelf) for shelf in shelves if shelf.is_failing])


def _accepts(template: Template, offer: Offer) -> bool:
    disk = template.recommended_disk_space or 0
    return (
        template.provider == offer.provider
        and (offer.max_disk_gb is None or disk <= offer.max_disk_gb)
        and not unmet(parse_conditions(template).conditions, offer)
    )


def _warning(shelf: _Shelf) -> Warned:
    state = "missing" if shelf.templates is None else "of an earlier reading"
    message = f"The templates of {shelf.name} cannot be read now; they are {state}."
    return Warned("provider_unavailable", message)


def warnings_about(template: Template, offers: Collection[Offer]) -> list[Warned]:
    """What of the template's conditions these offers cannot be held against."""
    asked = parse_conditions(template)
    if not asked.is_readable:
        message = "The conditions of the template cannot be read; none of them was applied."
        return [Warned("template_filter_unreadable", message)]
    missing = dict.fromkeys([*asked.unjudged, *untold(asked.conditions, offers)])
    if not missing:
        return []
    names = ", ".join(missing)[:200]
    message = f"Offers do not tell enough to apply these conditions of the template: {names}."
    return [Warned("template_filter_not_applied", message)]
