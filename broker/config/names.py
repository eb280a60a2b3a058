"""What the settings are called: dotted paths, environment variables, and slips of the pen."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel

from broker.config.problems import Problem
from broker.config.settings import Settings

_SHORT_NAMES: Mapping[str, tuple[str, ...]] = {
    "database.url": ("DATABASE_PATH",),
    "data_dir": ("BROKER_DATA_DIR",),
    "logging.level": ("LOG_LEVEL",),
    "logging.format": ("LOG_FORMAT",),
    "lifecycle.deployment_id": ("DEPLOYMENT_ID",),
    "lifecycle.reconciliation_interval": ("RECONCILIATION_INTERVAL",),
    "lifecycle.orphan_grace_period": ("ORPHAN_GRACE_PERIOD",),
    "lifecycle.hard_max_hours": ("HARD_MAX_HOURS",),
    "providers.vastai.api_key": ("VAST_API_KEY",),
}
_SIMILARITY = 0.75
"""From here on, one name is taken for a slip of another."""


@dataclass(frozen=True, slots=True)
class Given:
    """A value as somebody wrote it."""

    value: object
    origin: str
    """Where it stands, for messages: `in config.yaml`, `from SERVER_PORT`."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one source holds. Nothing is validated yet but the names."""

    values: Mapping[str, Given] = field(default_factory=dict)
    """Dotted path -> value."""
    problems: tuple[Problem, ...] = ()


def section_of(annotation: object) -> type[BaseModel] | None:
    """The section that a field of this type is, or None where it is a value."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return None


def setting_paths(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[str]:
    """The dotted path of every key."""
    for name, info in model.model_fields.items():
        section = section_of(info.annotation)
        if section is None:
            yield prefix + name
        else:
            yield from setting_paths(section, f"{prefix}{name}.")


def environment_names(path: str) -> tuple[str, ...]:
    """The environment variables that set `path`, the short ones first."""
    name = path.upper().replace(".", "_")
    short = (name.removeprefix("PROVIDERS_"),) if path.startswith("providers.") else ()
    return (*short, *_SHORT_NAMES.get(path, ()), name)


def suggest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown `name`: the known one that was probably meant."""
    near = nearest(name, known)
    return f"; did you mean {near}?" if near else ""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The one of `known` that is nearly `name`, or None."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=_SIMILARITY)), None)
