"""The crash matrix in small. All of it takes minutes: `tests/long/test_crash_matrix.py`."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.effects import Effect, Moment
from tests.crash.matrix import Case, make_seed, try_out
from tests.crash.scenarios import SCENARIOS

A_FEW = (
    Case(Effect.CREATE, Moment.BEFORE),
    Case(Effect.CREATE, Moment.AFTER),
    Case(Effect.DESTROY, Moment.AFTER),
    Case(Effect.GONE, Moment.BEFORE),
    Case(Effect.RETRY, Moment.AFTER),
    Case(Effect.TAKE_UP_COPY, Moment.BEFORE),
    Case(Effect.TAKE_UP_COPY, Moment.AFTER),
)


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a broker has left that was started before."""
    return make_seed(tmp_path_factory.mktemp("seed"))


def test_somebody_has_thought_of_every_effect() -> None:
    """Whoever adds one says how it comes about, so that a broker can be killed at it."""
    assert set(Effect) == set(SCENARIOS)


@pytest.mark.parametrize("case", A_FEW, ids=str)
def test_a_broker_that_died_there_goes_on(case: Case, seed: Path, tmp_path: Path) -> None:
    """Killed at an effect and started again, it leaks nothing and forgets nothing."""
    try_out(case, seed, tmp_path / "broker")
