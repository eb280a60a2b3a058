"""The README's drawings are those of the code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from broker.decide.states import diagram

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def block(language: str) -> str:
    """The one fenced block of this language."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def layers_of(container: str) -> list[str]:
    """The layers that the tests enforce, from the top."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    for contract in settings["contracts"]:
        if contract.get("containers") == [container]:
            return list(contract["layers"])
    raise AssertionError(container)


def test_the_state_diagram_is_that_of_the_table() -> None:
    """The diagram is generated from the table of moves."""
    assert diagram() == block("mermaid").strip()


def test_the_layer_drawing_is_that_of_the_contracts() -> None:
    """Every room stands in the drawing at the height at which the tests hold it."""
    lines = [re.sub(r" *─+► *", "   ", line) for line in block("layers").splitlines()]
    cells = [re.split(r" {2,}", line.strip()) for line in lines]

    assert ["broker", "providers"] == cells[0]
    assert layers_of("broker") == [row[0] for row in cells[1:]]
    assert layers_of("providers") == [row[1] for row in cells[1:] if len(row) > 1]
