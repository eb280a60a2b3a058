"""The adapters of the marketplaces: what is wrong with their settings, and opening them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

from broker.config import Problem, Settings
from broker.config.names import environment_names
from broker.decide.draining import Drain, plan_drains
from broker.errors import StartupError
from broker.store import Store
from broker.usecases.accounts import live_sessions
from providers.absent import AbsentProvider
from providers.base import Provider
from providers.errors import ProviderError
from providers.registry import FACTORIES, open_provider, option_problems

OpenProviders: TypeAlias = Callable[
    [Settings, Path, Callable[[], datetime], Sequence[Drain]], Awaitable[Mapping[str, Provider]]
]
"""Opens the adapters of all enabled providers and of those that drain, as `open_providers` does.

They are given the settings, a folder for what they keep, the clock to go by, and what drains.
"""


def provider_problems(settings: Settings) -> Iterator[Problem]:
    """What the adapters find wrong with their sections, whether they are enabled or not."""
    for name in FACTORIES:
        for key, message in option_problems(name, _options(settings, name)):
            yield Problem(f"providers.{name}.{key}", message)


async def drains_of(settings: Settings, store: Store, now: datetime) -> list[Drain]:
    """The providers that take nothing new, and that the database still has something at."""
    return drains_at(settings, await live_sessions(store), await store.providers_of_strays(now))


def drains_at(
    settings: Settings, live: Mapping[str, int], strays: Collection[str] = ()
) -> list[Drain]:
    """The same, told from the sessions that are not final and the machines without one."""
    return plan_drains(
        live,
        strays,
        enabled=settings.enabled_providers,
        settings={name: _setting(settings, name) for name in FACTORIES},
        reachable=settings.accounts,
    )


async def open_providers(
    settings: Settings,
    data_dir: Path,
    now: Callable[[], datetime],
    drains: Sequence[Drain] = (),
    only: str | None = None,
) -> dict[str, Provider]:
    """The adapters of all enabled providers and of those that drain; or `only` this account's.

    What cannot be reached has a stand-in. Raises StartupError where one is not to be had.
    """
    names = [*settings.enabled_providers, *(one.provider for one in drains if one.is_reachable)]
    if only is not None:
        names = [only]
    opened: dict[str, Provider] = {}
    for name in names:
        try:
            opened[name] = await open_provider(name, _options(settings, name), data_dir, now)
        except ProviderError as error:
            raise StartupError(f"The provider {name} cannot be opened: {error}") from error
    for drain in drains:
        if not drain.is_reachable:
            why = f"{drain.provider} cannot be spoken to: {drain.remedy}."
            opened[drain.provider] = AbsentProvider(drain.provider, why)
    if not opened:
        raise StartupError(
            "No provider is configured. Set the credentials of one (config.example.yaml tells "
            "how), or try the simulated market with --simulate."
        )
    return opened


def _setting(settings: Settings, name: str) -> str:
    """The setting that brings the provider into use, as a person writes it."""
    section = settings.provider(name)
    if section.has_credentials:
        return f"providers.{name}.enabled"
    path = f"providers.{name}.{section.credential}"
    return f"{environment_names(path)[0]} ({path})"


def _options(settings: Settings, name: str) -> Mapping[str, Any]:
    options: Mapping[str, Any] = getattr(settings.providers, name).model_dump()
    return options
