"""The lifecycle as a state machine: whatever happens in whatever order, the laws hold."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.lifecycle.life import Life

pytestmark = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
"""Whoever dies just before a call has prepared it."""


def test_nothing_breaks_the_laws() -> None:
    """A few short lives; many long ones are in tests/long."""
    few = settings(max_examples=8, stateful_step_count=15, deadline=None, derandomize=True)
    run_state_machine_as_test(Life, settings=few)
