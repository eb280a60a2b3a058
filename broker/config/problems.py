"""What is wrong with a configuration: every mistake at its path, told all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from broker.errors import StartupError


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake."""

    path: str
    """A setting (`server.port`), a variable (`LIFECYCLE_CHEK_INTERVAL`) or a file."""
    message: str
    """What is wrong and what to do, without any secret."""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class ConfigurationError(StartupError):
    """The configuration is wrong; `problems` names every mistake."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        title = f"The configuration has {count} problem{'' if count == 1 else 's'}:"
        super().__init__("\n".join([title, *(f"  {problem}" for problem in self.problems)]))
