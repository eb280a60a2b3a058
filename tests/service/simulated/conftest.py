"""The time of these tests is simulated."""

from collections.abc import Iterator

import pytest

from tests.simulated import SimulatedTime


@pytest.fixture
def time() -> Iterator[SimulatedTime]:
    """The time of a test, which passes as soon as nothing real is under way."""
    with SimulatedTime() as simulated:
        yield simulated
