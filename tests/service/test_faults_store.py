"""Misfortunes of the database while machines live: what could not be written is found out again."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from broker.clock import utcnow
from broker.usecases import workers
from tests.service.conftest import Broker, eventually
from tests.service.scenarios import assert_sound, market


@pytest.fixture
def refuse(tmp_path: Path) -> Callable[[str], None]:
    """Let the database refuse every attempt that has a value in this column; "" ends it."""

    def change(column: str) -> None:
        with closing(sqlite3.connect(tmp_path / "broker.db", isolation_level=None)) as database:
            database.execute("DROP TRIGGER IF EXISTS full")
            if column:
                database.execute(
                    f"CREATE TRIGGER full BEFORE UPDATE ON attempts WHEN NEW.{column} IS NOT NULL "
                    "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
                )

    return change


@pytest.mark.parametrize("column", ["instance_id", "verified_at", "gone_at"])
async def test_a_database_that_refuses_a_write_loses_no_machine(
    broker: Broker,
    refuse: Callable[[str], None],
    column: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not that it was made, nor that it works, nor that it is gone: work goes on where it stood."""
    monkeypatch.setattr(workers, "_AFTER_AN_ACCIDENT", timedelta(milliseconds=50))

    async def life() -> Any:
        _, body = await broker.rent()
        path = f"/api/v1/sessions/{body['session']['id']}"
        await broker.until(body["session"]["id"], "running", "failed")
        assert 200 == (await broker.call("DELETE", path))[0]
        return await broker.session(body["session"]["id"])

    async def stands_still() -> bool:
        return caplog.text.count("The work stands still") >= 2

    refuse(column)
    living = asyncio.create_task(life())
    await eventually(stands_still)
    refuse("")
    session = await living

    assert ("stopped", "deleted", 1) == (
        session["status"],
        session["status_reason"],
        len(session["attempts"]),
    )
    assert session["running_at"]
    assert 1 == len(await market(broker).statement(utcnow()))
    await assert_sound(broker)
