"""Environment variables, from the process and from the .env file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dotenv.parser import parse_stream

from broker.config.names import Given, Reading, environment_names, nearest, setting_paths
from broker.config.problems import Problem

_CLIENT_PREFIX = "GPU_BROKER_"
"""Variables of the command line's client: they may stand in the same .env file."""
_OWN_SECTIONS = ("LIFECYCLE_", "PROVIDERS_")
_NEVER_EMPTY = "lifecycle.deployment_id"
"""An empty variable sets nothing; but one that should name the deployment, and does not, would
give every machine another owner."""

_PATHS = tuple(setting_paths())
_SHARED_SECTIONS = tuple(
    {
        f"{path.removeprefix('providers.').partition('.')[0].upper()}_"
        for path in _PATHS
        if "." in path
    }
    - set(_OWN_SECTIONS)
)
"""Other programs use these too (SSH_AUTH_SOCK): only a slip of the pen is reported."""
_KNOWN = {name: path for path in _PATHS for name in environment_names(path)}


def read_environment(environment: Mapping[str, str]) -> Reading:
    """The environment; variables of other programs are none of our business."""
    reading = _pick(environment, "")
    unknown = [_unknown(name, "") for name in sorted(environment) if _is_slip(name)]
    return Reading(reading.values, (*unknown, *reading.problems))


def read_dotenv(file: Path) -> Reading:
    """The .env file; a missing one is empty. Every name in it must be a setting."""
    try:
        with file.open(encoding="utf-8-sig") as stream:
            lines = [binding for binding in parse_stream(stream) if binding.key or binding.error]
    except FileNotFoundError:
        return Reading()
    except OSError as error:
        return Reading(problems=(Problem(str(file), f"cannot be read: {error.strerror}"),))
    except UnicodeDecodeError:
        return Reading(problems=(Problem(str(file), "cannot be read: it is not UTF-8 text"),))
    malformed = [
        Problem(f"{file}, line {line.original.line}", "must have the form NAME=value")
        for line in lines
        if line.error or line.value is None
    ]
    variables = {line.key: line.value for line in lines if line.key and line.value is not None}
    strangers = variables.keys() - _KNOWN.keys()
    unknown = [
        _unknown(name, f" ({file})")
        for name in sorted(strangers)
        if not name.startswith(_CLIENT_PREFIX)
    ]
    reading = _pick(variables, f" in {file}")
    return Reading(reading.values, (*malformed, *unknown, *reading.problems))


def _pick(variables: Mapping[str, str], where: str) -> Reading:
    """The settings among `variables`. Several names of one setting must agree."""
    values: dict[str, Given] = {}
    problems = []
    for path in _PATHS:
        names = [name for name in environment_names(path) if _is_set(path, variables.get(name))]
        if names:
            values[path] = Given(variables[names[0]], f"from {names[0]}{where}")
        if len({variables[name] for name in names}) > 1:
            message = f"{' and '.join(names)}{where} say different things: keep one"
            problems.append(Problem(path, message))
    return Reading(values, tuple(problems))


def _is_set(path: str, text: str | None) -> bool:
    return text is not None and (text != "" or path == _NEVER_EMPTY)


def _is_slip(name: str) -> bool:
    """Whether a variable looks like a setting of ours with a mistake in its name."""
    if name in _KNOWN:
        return False
    if name.startswith(_OWN_SECTIONS):
        return True
    return name.startswith(_SHARED_SECTIONS) and _nearest_known(name) is not None


def _unknown(name: str, where: str) -> Problem:
    near = _nearest_known(name)
    hint = f"; did you mean {near}?" if near else ""
    return Problem(name, f"is not a setting{where}{hint}")


def _nearest_known(name: str) -> str | None:
    """The setting that was probably meant; of the same section, what follows it must be alike."""
    section, _, rest = name.partition("_")
    same = [known for known in _KNOWN if known.startswith(f"{section}_")]
    if not same:
        return nearest(name, _KNOWN)
    near = nearest(rest, [known.removeprefix(f"{section}_") for known in same])
    return f"{section}_{near}" if near else None
