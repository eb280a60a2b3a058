"""Many long lives of brokers and sessions, none of which may break a law."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.lifecycle.life import Life

pytestmark = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
"""Whoever dies just before a call has prepared it."""

_USUAL_SEED = 1
_MANY = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def test_nothing_breaks_the_laws_for_long() -> None:
    """Thousands of steps. LIFECYCLE_SEED gives other lives; the seed is printed."""
    chosen = int(os.environ.get("LIFECYCLE_SEED") or _USUAL_SEED)
    print(f"LIFECYCLE_SEED={chosen}")  # noqa: T201 - it belongs to the report of a failure
    run_state_machine_as_test(seed(chosen)(Life), settings=_MANY)
