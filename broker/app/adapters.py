"""The adapters of the marketplaces: what is wrong with their settings, and opening them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

from broker.config import Problem, Settings
from broker.errors import StartupError
from providers.base import Provider
from providers.errors import ProviderError
from providers.registry import FACTORIES, open_provider, option_problems

OpenProviders: TypeAlias = Callable[
    [Settings, Path, Callable[[], datetime]], Awaitable[Mapping[str, Provider]]
]
"""Opens the adapters of all enabled providers, as `open_providers` does.

They are given the settings, a folder for what they keep, and the clock to go by.
"""

log = logging.getLogger(__name__)


def provider_problems(settings: Settings) -> Iterator[Problem]:
    """What the adapters find wrong with their sections, whether they are enabled or not."""
    for name in FACTORIES:
        for key, message in option_problems(name, _options(settings, name)):
            yield Problem(f"providers.{name}.{key}", message)


async def open_providers(
    settings: Settings, data_dir: Path, now: Callable[[], datetime]
) -> dict[str, Provider]:
    """The adapters of all enabled providers; raises StartupError where one is not to be had."""
    opened = {}
    for name in settings.enabled_providers:
        if name not in FACTORIES:
            log.warning("%s is configured, but this version has no adapter for it.", name)
            continue
        try:
            opened[name] = await open_provider(name, _options(settings, name), data_dir, now)
        except ProviderError as error:
            raise StartupError(f"The provider {name} cannot be opened: {error}") from error
    if not opened:
        raise StartupError(
            "No provider is configured. Set the credentials of one (config.example.yaml tells "
            "how), or try the simulated market with --simulate."
        )
    return opened


def _options(settings: Settings, name: str) -> Mapping[str, Any]:
    options: Mapping[str, Any] = getattr(settings.providers, name).model_dump()
    return options
