"""The crash matrix: a broker is killed before and after every effect, and must go on lawfully."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.crash.matrix import MATRIX, Case, make_seed, try_out

_AT_ONCE = 4
"""Brokers that live and die side by side: most of their time they wait."""


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[Case, Future[None]]]:
    """What becomes of the cases that are to run, some of them at the same time."""
    seed = make_seed(tmp_path_factory.mktemp("seed"))
    folder = tmp_path_factory.mktemp("brokers")
    calls = [getattr(item, "callspec", None) for item in request.session.items]
    chosen = [call.params["case"] for call in calls if call and "case" in call.params]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield {
            case: pool.submit(try_out, case, seed, folder / f"{n}") for n, case in enumerate(chosen)
        }
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("case", MATRIX, ids=str)
def test_a_broker_that_died_there_goes_on(
    case: Case, outcomes: Mapping[Case, Future[None]]
) -> None:
    """Killed at an effect and started again, it leaks nothing and forgets nothing."""
    outcomes[case].result()
