"""The account of the simulated market: one SQLite file with every machine ever rented.

It is written by the adapter and read by the process that runs the machines, and it
survives both. Destroyed machines stay, because the bill is their history. A connection
belongs to the thread that opened it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

import orjson

from providers.base import LaunchMode
from providers.simulator.machine import Fate, Launch, Machine

FILE_NAME = "simulator.db"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS machine (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    offer_id TEXT NOT NULL,
    host_id TEXT NOT NULL,
    launch TEXT NOT NULL,
    fate TEXT NOT NULL,
    created_at TEXT NOT NULL,
    destroyed_at TEXT,
    gone_at TEXT,
    ssh_port INTEGER,
    published TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX IF NOT EXISTS machine_by_end ON machine (gone_at);
CREATE INDEX IF NOT EXISTS machine_by_offer ON machine (offer_id);
CREATE INDEX IF NOT EXISTS machine_by_host ON machine (host_id);
"""
_COLUMNS = "id, launch, fate, created_at, destroyed_at, gone_at, ssh_port, published"
_LIVE = "(gone_at IS NULL OR gone_at > :now)"
_BUSY_SECONDS = 10.0
_ROWS_AT_ONCE = 500
_INSTANTS_OF_FATE = ("boots_at", "dies_at", "connects_at", "keys_at", "appears_at")


_Row: TypeAlias = tuple[Any, ...]
"""A machine in the columns of `_COLUMNS`."""


class OfferTaken(Exception):
    """The offer, or another one of its host, is rented."""


class Account:
    """Every call is one transaction."""

    def __init__(self, data_dir: Path) -> None:
        """Open the account in `data_dir`; both are made, for this user only, where missing."""
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = data_dir / FILE_NAME
        path.touch(mode=0o600)
        self._live: dict[_Row, Machine] = {}
        """What lives was understood at the last look: of thousands hardly any has changed."""
        # What nobody commits explicitly commits itself.
        self._db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        # A killed process loses nothing; only a power cut could lose the last rentals.
        self._db.execute("PRAGMA synchronous = NORMAL")
        with self._transaction():
            for statement in _SCHEMA.split(";"):
                self._db.execute(statement)

    def close(self) -> None:
        self._db.close()

    def rent(
        self,
        launch: Launch,
        decide_fate: Callable[[datetime], Fate],
        *,
        now: datetime,
        created_at: datetime,
        ssh_port: int | None = None,
        published: Mapping[int, int] | None = None,
    ) -> Machine:
        """Add a machine that appears at `created_at`, the instant its fate is decided for.

        Whoever must know beforehand where it will be reached decides that here too. Raises
        `OfferTaken` before any fate is decided.
        """
        with self._transaction():
            if self._is_taken(launch, now):
                raise OfferTaken
            fate = decide_fate(created_at)
            if created_at > now:
                fate = replace(fate, appears_at=created_at)
            cursor = self._db.execute(
                "INSERT INTO machine"
                " (offer_id, host_id, launch, fate, created_at, ssh_port, published)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    launch.offer_id,
                    launch.host_id,
                    _encode_launch(launch),
                    _encode_fate(fate),
                    _encode_instant(created_at),
                    ssh_port,
                    json.dumps(published or {}),
                ),
            )
        machine = Machine(cursor.lastrowid or 0, launch, fate, created_at)
        return replace(machine, ssh_port=ssh_port, published=published or {})

    def live(self, now: datetime) -> Iterator[Machine]:
        """Every machine that is not gone at `now`, also those that have not appeared yet."""
        before, self._live = self._live, {}
        for row in self._select(f"WHERE {_LIVE} ORDER BY id", now=_encode_instant(now)):
            machine = self._live[row] = before.get(row) or _decode_machine(row)
            yield machine

    def all(self) -> Iterator[Machine]:
        """Every machine ever rented, oldest first, each read when it is asked for."""
        return map(_decode_machine, self._select("ORDER BY id"))

    def find(self, machine_id: int) -> Machine | None:
        """One machine, gone or not."""
        return next(map(_decode_machine, self._select("WHERE id = :id", id=machine_id)), None)

    def taken(self, now: datetime) -> frozenset[str]:
        """The hosts that are rented at `now`."""
        rows = self._db.execute(
            f"SELECT host_id FROM machine WHERE {_LIVE}",  # noqa: S608
            {"now": _encode_instant(now)},
        )
        return frozenset(host for (host,) in rows)

    def has_live(self, now: datetime) -> bool:
        """Whether any machine is not gone at `now`."""
        return bool(self.taken(now))

    def destroy(self, machine_id: int, *, destroyed_at: datetime, gone_at: datetime) -> None:
        """Record that a destruction was accepted, and when the machine is gone by it."""
        self._db.execute(
            "UPDATE machine SET destroyed_at = ?, gone_at = ?"
            " WHERE id = ? AND destroyed_at IS NULL",
            (_encode_instant(destroyed_at), _encode_instant(gone_at), machine_id),
        )

    def change_fate(self, machine_id: int, fate: Fate) -> None:
        """Decide anew what will happen to a machine: it is stopped, or started again."""
        self._db.execute(
            "UPDATE machine SET fate = ? WHERE id = ?", (_encode_fate(fate), machine_id)
        )

    def record_ports(self, machine_id: int, ssh_port: int, published: Mapping[int, int]) -> None:
        """Record where a machine is reached, once and for ever."""
        self._db.execute(
            "UPDATE machine SET ssh_port = ?, published = ? WHERE id = ? AND ssh_port IS NULL",
            (ssh_port, json.dumps(published), machine_id),
        )

    def version(self) -> int:
        """A number that changes when another connection has written."""
        (version,) = self._db.execute("PRAGMA data_version").fetchone()
        return int(version)

    def _is_taken(self, launch: Launch, now: datetime) -> bool:
        row = self._db.execute(
            f"SELECT 1 FROM machine WHERE (host_id = :host OR offer_id = :offer) AND {_LIVE}",  # noqa: S608
            {
                "host": launch.host_id,
                "offer": launch.offer_id,
                "now": _encode_instant(now),
            },
        ).fetchone()
        return row is not None

    def _select(self, condition: str, **values: object) -> Iterator[_Row]:
        found = self._db.execute(f"SELECT {_COLUMNS} FROM machine {condition}", values)  # noqa: S608
        # One by one, the driver would take and leave the interpreter's lock at every row, so
        # quickly that the event loop's thread hardly ever got it.
        while rows := found.fetchmany(_ROWS_AT_ONCE):
            yield from rows

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Nobody else writes between the reading and the writing of the block."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def _decode_machine(row: _Row) -> Machine:
    machine_id, launch, fate, created_at, destroyed_at, gone_at, ssh_port, published = row
    return Machine(
        id=machine_id,
        launch=_decode_launch(launch),
        fate=_decode_fate(fate),
        created_at=datetime.fromisoformat(created_at),
        destroyed_at=_decode_instant(destroyed_at),
        gone_at=_decode_instant(gone_at),
        ssh_port=ssh_port,
        published={int(inside): outside for inside, outside in orjson.loads(published).items()},
    )


def _encode_launch(launch: Launch) -> str:
    return json.dumps(asdict(launch) | {"price_per_hour": str(launch.price_per_hour)})


def _decode_launch(text: str) -> Launch:
    fields = orjson.loads(text)
    return Launch(
        **fields
        | {
            "price_per_hour": Decimal(fields["price_per_hour"]),
            "launch_mode": LaunchMode(fields["launch_mode"]),
            "public_keys": tuple(fields["public_keys"]),
            "args": tuple(fields["args"]),
            "ports": tuple(fields["ports"]),
        }
    )


def _encode_fate(fate: Fate) -> str:
    fields = asdict(fate)
    return json.dumps(
        fields
        | {name: fields[name] and _encode_instant(fields[name]) for name in _INSTANTS_OF_FATE}
        | {"answer_delay": fate.answer_delay.total_seconds()}
    )


def _decode_fate(text: str) -> Fate:
    fields = orjson.loads(text)
    return Fate(
        **fields
        | {name: _decode_instant(fields.get(name)) for name in _INSTANTS_OF_FATE}
        | {"answer_delay": timedelta(seconds=fields["answer_delay"])}
    )


def _encode_instant(instant: datetime) -> str:
    """Text that sorts like the instants do; they are all in UTC."""
    return instant.isoformat(timespec="microseconds")


def _decode_instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
