"""Thousands of made-up requests: nothing crashes, and every answer is a documented one."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.fuzzing import fuzz
from tests.service.conftest import Broker


async def test_no_request_makes_the_broker_break_its_word(
    market_only: Broker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Valid, invalid and in sequences: status, headers, type and body are as documented."""
    await fuzz(market_only.url, tmp_path, "--max-examples=150")

    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert (200, True) == await _readiness(market_only)


async def _readiness(broker: Broker) -> tuple[int, bool]:
    status, body = await broker.call("GET", "/ready")
    return status, body["ready"]
