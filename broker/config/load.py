"""Putting the sources together: flags beat the environment, then .env, YAML and the defaults."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from broker.config.names import Given, Reading, setting_paths
from broker.config.problems import ConfigurationError, Problem
from broker.config.settings import Settings
from broker.config.variables import read_dotenv, read_environment
from broker.config.yaml_file import read_yaml

Check = Callable[[Settings], Iterable[Problem]]
"""What else is wrong with settings, as those know it who are built from them."""

_NO_FLAGS: Mapping[str, object] = MappingProxyType({})


def load_settings(
    *,
    file: Path | None,
    environment: Mapping[str, str],
    flags: Mapping[str, object] = _NO_FLAGS,
    further: Check = lambda _: (),
) -> Settings:
    """The settings of this start.

    `flags` are dotted paths (`server.port`); None is not set. The .env file is looked for beside
    `file`, without one in the working directory. `further` looks at what is sound.
    Raises ConfigurationError with every mistake.
    """
    readings = [
        read_yaml(file) if file else Reading(),
        read_dotenv((file.parent if file else Path()) / ".env"),
        read_environment(environment),
        _read_flags(flags),
    ]
    problems = [problem for reading in readings for problem in reading.problems]
    given = {path: value for reading in readings for path, value in reading.values.items()}
    settings, wrong = _validate(given)
    problems += [*wrong, *_contradictions(settings)]
    named = {problem.path for problem in problems}
    problems += [
        _with_origin(problem, given) for problem in further(settings) if problem.path not in named
    ]
    if problems:
        raise ConfigurationError(problems)
    return settings


def _read_flags(flags: Mapping[str, object]) -> Reading:
    known = set(setting_paths())
    given = {path: value for path, value in flags.items() if value is not None}
    unknown = tuple(Problem(path, "is not a setting") for path in given if path not in known)
    values = {path: Given(given[path], "on the command line") for path in given if path in known}
    return Reading(values, unknown)


def _validate(given: Mapping[str, Given]) -> tuple[Settings, list[Problem]]:
    """The settings, with the default where a value is wrong, and what is wrong."""
    try:
        return Settings.model_validate(_nest(given)), []
    except ValidationError as error:
        wrong = [(_path_of(detail, given), detail) for detail in error.errors()]
    problems = [
        _present_error(path, detail, given[path].origin) for path, detail in wrong if path in given
    ]
    bad = {path for path, _ in wrong}
    sound = {path: value for path, value in given.items() if path not in bad}
    return Settings.model_validate(_nest(sound)), problems


def _nest(given: Mapping[str, Given]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, item in given.items():
        *sections, key = path.split(".")
        branch = tree
        for section in sections:
            branch = branch.setdefault(section, {})
        branch[key] = item.value
    return tree


def _path_of(detail: ErrorDetails, given: Mapping[str, Given]) -> str:
    """The setting that an error is about; an error inside a list is about the list."""
    return _nearest([str(word) for word in detail["loc"]], given)


def _nearest(words: Sequence[str], given: Mapping[str, Given]) -> str:
    """The longest path of these words that was given."""
    paths = (".".join(words[:length]) for length in range(len(words), 0, -1))
    return next((path for path in paths if path in given), "")


def _with_origin(problem: Problem, given: Mapping[str, Given]) -> Problem:
    setting = _nearest(problem.path.split("."), given)
    origin = f" ({given[setting].origin})" if setting else ""
    return Problem(problem.path, problem.message + origin)


def _present_error(path: str, detail: ErrorDetails, origin: str) -> Problem:
    match detail["type"]:
        case "value_error":
            message = str(detail["ctx"]["error"])
        case "string_type":
            message = "must be text: put it in quotes"
        case "bool_parsing" | "bool_type":
            message = "must be true or false"
        case "int_parsing" | "int_type" | "int_from_float":
            message = "must be a whole number"
        case "float_parsing" | "float_type" | "decimal_parsing" | "decimal_type":
            message = "must be a number"
        case _:
            message = detail["msg"].replace("Input should be", "must be")
    return Problem(path, f"{message} ({origin})")


def _contradictions(settings: Settings) -> Iterator[Problem]:
    """What cannot be true together, and what is not there."""
    server, inventory = settings.server, settings.inventory
    if not (server.is_loopback or server.allow_open):
        yield Problem(
            "server.host",
            f"{server.host} can be reached from other machines and nobody has to log in: "
            "use 127.0.0.1, or set SERVER_ALLOW_OPEN=true where something else guards it",
        )
    is_told = {"cache_ttl", "backoff_ttl"} <= inventory.model_fields_set
    if is_told and inventory.backoff_ttl < inventory.cache_ttl:
        yield Problem(
            "inventory.backoff_ttl",
            "is shorter than inventory.cache_ttl: offers would be left out before they are due "
            "to be read again",
        )
    market = settings.providers.simulator.market_file
    if market is not None and not market.is_file():
        yield Problem("providers.simulator.market_file", f"{market} is not a file")
