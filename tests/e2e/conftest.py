"""The installed command, with a broker and without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cli_broker import CommandLine, serving

RENT = ("rent", "--gpu-type", "RTX 4090", "--minutes", "30", "--wait")


@pytest.fixture
def apart(tmp_path: Path) -> CommandLine:
    """The command in an empty folder, without a broker."""
    return CommandLine(tmp_path, {"GPU_BROKER_URL": "http://127.0.0.1:9"})


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """The command beside a broker that all tests of a module share."""
    command_line = CommandLine(tmp_path_factory.mktemp("broker"))
    with serving(command_line):
        yield command_line


@pytest.fixture(scope="module")
def rented(broker: CommandLine) -> dict[str, Any]:
    """A running session, as `rent --wait -o json` prints it."""
    created: dict[str, Any] = broker.ask(*RENT)
    return created
