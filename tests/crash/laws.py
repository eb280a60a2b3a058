"""What must be true of a broker and its account, whatever it died of."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from decimal import Decimal
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest

from broker.clock import utcnow
from providers.label import parse_label
from providers.simulator.machine import Machine
from tests.crash.account import FOREIGN, machines
from tests.crash.lives import Doomed
from tests.waiting import wait_until

FINAL = {"stopped", "failed"}
PATIENCE = 120.0
"""Seconds in which a broker must have put everything in order after its start."""
_A_SECOND = Decimal(1) / 3600
_ROUNDING = Decimal("0.000001")

Rows = Mapping[str, tuple[Any, ...]]


def final_rows(data_dir: Path) -> Rows:
    """The rows of the sessions that are over, by their ids."""
    path = data_dir / "gpu-broker.db"
    if not path.exists():
        return {}
    with closing(sqlite3.connect(path)) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
        if "sessions" not in tables:
            return {}
        over = "SELECT id, * FROM sessions WHERE status IN ('stopped', 'failed')"
        return {session_id: tuple(row) for session_id, *row in database.execute(over)}


def assert_lawful(broker: Doomed, before: Rows) -> None:
    """Hold a broker that has been started again against its account, and end what there is.

    `before` are the rows that were over when it died.
    """
    data_dir = broker.folder / "data"
    assert_order(broker)
    broker.end_all()
    wait_until(lambda: not _ours_alive(data_dir), PATIENCE)
    sessions, rented = broker.sessions(), _ours(machines(data_dir))
    assert _foreign_alive(data_dir) == sorted(FOREIGN)
    assert before.items() <= final_rows(data_dir).items(), "a final row was changed"
    assert_one_at_a_time(rented)
    for session in sessions:
        assert_over(session)
    assert_billed(sessions, rented)


def assert_order(broker: Doomed) -> None:
    """Before long, every session is decided, and has its machine or none."""
    found: list[str] = []

    def is_in_order() -> bool:
        found[:] = [_disorder(broker.sessions(), broker.folder / "data")]
        return found == [""]

    try:
        wait_until(is_in_order, PATIENCE)
    except AssertionError:
        pytest.fail(found[0])


def _disorder(sessions: Sequence[Any], data_dir: Path) -> str:
    """How sessions and machines differ; nothing where all is as it must be in the end."""
    under_way = [one["id"] for one in sessions if one["status"] not in {"running", *FINAL}]
    if under_way:
        return f"still under way: {under_way}"
    held = sorted(one["provider_instance_id"] for one in sessions if one["status"] == "running")
    alive = sorted(str(one.id) for one in _ours_alive(data_dir))
    return "" if held == alive else f"sessions have {held}, the account has {alive}"


def assert_one_at_a_time(rented: Sequence[Machine]) -> None:
    """No label was rented twice, and no session ever had two machines."""
    labels = [one.launch.label for one in rented]
    assert len(labels) == len(set(labels)), labels

    def session_of(machine: Machine) -> str:
        label = parse_label(machine.launch.label)
        assert label is not None
        return label.session_id

    for _, of_one in groupby(sorted(rented, key=session_of), session_of):
        lives = sorted((one.created_at, one.gone_at or utcnow()) for one in of_one)
        for (_, gone_at), (created_at, _) in pairwise(lives):
            assert gone_at <= created_at, lives


def assert_over(session: Any) -> None:
    """It has ended with a reason, and so has everything that was tried for it."""
    assert session["status"] in FINAL, session
    assert session["status_reason"], session
    assert session["stopped_at"], session
    assert all(one["ended_at"] and one["outcome"] for one in session["attempts"]), session


def assert_billed(sessions: Sequence[Any], rented: Sequence[Machine]) -> None:
    """A session costs what the account bills for its machines, to the second for each."""
    now = utcnow()
    for session in sessions:
        held = {one["instance_id"] for one in session["attempts"]}
        own = [one for one in rented if str(one.id) in held]
        total = sum((one.billed(now) for one in own), Decimal())
        seconds = sum((one.launch.price_per_hour for one in own), Decimal()) * _A_SECOND
        cost = Decimal(str(session["accrued_cost"]))
        assert abs(total - cost) <= seconds + _ROUNDING, _difference(session, own, total - cost)
    for machine in rented:
        assert_claimed(machine, sessions)


def assert_claimed(machine: Machine, sessions: Sequence[Any]) -> None:
    """Some session has held it, unless nobody could know of it: its creation was never answered.

    Such a machine, and one of a session that is in no database, is billed to nobody.
    """
    tried = [one for session in sessions for one in session["attempts"]]
    if str(machine.id) in {one["instance_id"] for one in tried}:
        return
    label = parse_label(machine.launch.label)
    assert label is not None
    known = {session["id"]: session["attempts"] for session in sessions}
    own = [one for one in known.get(label.session_id, ()) if one["n"] == label.attempt]
    outcomes = {one["outcome"] for one in own}
    assert outcomes <= {"unknown"}, f"no session held {machine.launch.label}: {own}"


def _difference(session: Any, own: Iterable[Machine], missing: Decimal) -> str:
    price = Decimal(str(session["price_per_hour"]))
    seconds = missing / price * 3600
    lives = [(f"{one.created_at:%H:%M:%S.%f}", _clock(one.destroyed_at)) for one in own]
    return f"{seconds:.3f} s are missing in the cost of {session}; machines {lives}"


def _clock(instant: datetime | None) -> str:
    return f"{instant:%H:%M:%S.%f}" if instant else "-"


def _ours(rented: Iterable[Machine]) -> list[Machine]:
    return [one for one in rented if one.launch.label not in FOREIGN]


def _ours_alive(data_dir: Path) -> list[Machine]:
    """Those that are rented, or will appear late."""
    now = utcnow()
    return [one for one in _ours(machines(data_dir)) if one.gone_at is None or one.gone_at > now]


def _foreign_alive(data_dir: Path) -> list[str]:
    labels = [one.launch.label for one in machines(data_dir) if one.gone_at is None]
    return sorted(label for label in labels if label in FOREIGN)
