"""A whole broker while everything goes wrong at once: `python -m bench.chaos`, for a short time."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.chaos import run


@pytest.mark.parametrize("seed", [1, 2])
async def test_nothing_that_goes_wrong_leaks_a_machine_or_ends_a_session(
    tmp_path: Path, seed: int
) -> None:
    """Killed, frozen, misled and starved, at failing markets: all that must not be is not."""
    outcome = await run(minutes=0.5, seed=seed, folder=tmp_path)

    assert outcome.evidence.machines
    assert outcome.problems == []
