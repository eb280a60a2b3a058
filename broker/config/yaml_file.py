"""The YAML file: read safely, its keys checked against the settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml
from pydantic import BaseModel

from broker.config.names import Given, Reading, section_of, suggest
from broker.config.problems import Problem
from broker.config.settings import Settings


def read_yaml(file: Path) -> Reading:
    """Every value of the file, and a problem for whatever is not a setting."""
    try:
        loader = _Loader(file.read_text(encoding="utf-8-sig"))
        tree = loader.get_single_data()
    except OSError as error:
        return _refuse(file, f"cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        return _refuse(file, "cannot be read: it is not UTF-8 text")
    except yaml.YAMLError as error:
        return _refuse(file, _present_yaml_error(error))
    if not isinstance(tree, dict | None):
        return _refuse(file, "line 1: must hold sections with keys, for example `server:`")
    values: dict[str, Given] = {}
    problems = [Problem(f"{file}, line {line}", message) for line, message in loader.repeated]
    for path, found in _flatten(tree or {}, Settings, "", f"in {file.name}"):
        if isinstance(found, Given):
            values[path] = found
        else:
            problems.append(found)
    return Reading(values, tuple(problems))


def _refuse(file: Path, message: str) -> Reading:
    return Reading(problems=(Problem(str(file), message),))


def _flatten(
    tree: Mapping[object, object], model: type[BaseModel], prefix: str, origin: str
) -> Iterator[tuple[str, Given | Problem]]:
    """Every value of a tree at its dotted path. A key without a value is not set."""
    for key, value in tree.items():
        path = f"{prefix}{key}"
        info = model.model_fields.get(str(key))
        section = section_of(info.annotation) if info else None
        if info is None:
            hint = suggest(str(key), model.model_fields)
            yield path, Problem(path, f"is not a setting ({origin}){hint}")
        elif section is None and value is not None:
            yield path, Given(value, origin)
        elif section is not None and isinstance(value, dict):
            yield from _flatten(value, section, f"{path}.", origin)
        elif section is not None and value is not None:
            keys = ", ".join(section.model_fields)
            yield path, Problem(path, f"must be a section with the keys {keys} ({origin})")


def _present_yaml_error(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f"line {error.problem_mark.line + 1} is not YAML: {error.problem}"
    return "is not YAML: it holds characters that are not text"


class _Loader(yaml.SafeLoader):
    """The safe loader, which also remembers keys that stand twice."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.repeated: list[tuple[int, str]] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        seen: dict[str, int] = {}
        for key_node, _ in node.value:
            line, key = key_node.start_mark.line + 1, key_node.value
            if not isinstance(key, str) or key == "<<":
                continue
            if key in seen:
                self.repeated.append((line, f"{key} stands already in line {seen[key]}"))
            seen.setdefault(key, line)
        return dict(super().construct_mapping(node, deep=deep))
