"""A first look of what tests/long does thoroughly: made-up requests, documented answers."""

from __future__ import annotations

from pathlib import Path

from tests.fuzzing import fuzz
from tests.service.conftest import Broker


async def test_every_example_and_every_bound_is_answered_as_documented(
    market_only: Broker, tmp_path: Path
) -> None:
    """What the document shows is taken, what it forbids is refused, whatever the field."""
    await fuzz(market_only.url, tmp_path, "--phases=examples,coverage")
