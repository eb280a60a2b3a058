"""The offers of the simulated service, and what renting does to those that overlap."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.wire.answers import Body as Row

_LATER_ASKS = 52_000_001


class Market:
    """Every offer of every host; which of them can be rented depends on who holds which GPU."""

    def __init__(self, rows: Sequence[Mapping[str, Any]], now: float) -> None:
        self._rows: list[Row] = [_as_of(row, now) for row in rows]
        self._next_ask = _LATER_ASKS
        self._taken: set[int] = set()
        """The places in the list whose offers were rented when last looked at."""
        self._withdrawn: set[int] = set()

    def free(self, held: Iterable[tuple[Any, frozenset[Any]]]) -> list[Row]:
        """What can be rented while these GPUs of these machines are held.

        An offer that comes back has another id: ids are for one use.
        """
        holders = list(held)
        taken = {
            place
            for place, row in enumerate(self._rows)
            if any(overlaps(row, machine, gpus) for machine, gpus in holders)
        }
        for place in self._taken - taken:
            self._renew(place)
        self._taken = taken
        return [
            row
            for place, row in enumerate(self._rows)
            if place not in taken and row.get("id") not in self._withdrawn
        ]

    def _renew(self, place: int) -> None:
        ask = self._next_ask
        self._rows[place] = {**self._rows[place], "id": ask, "ask_contract_id": ask}
        self._next_ask += 1

    def withdraw(self, ask_id: int) -> None:
        """The host does not offer it any more."""
        self._withdrawn.add(ask_id)


def _as_of(row: Mapping[str, Any], now: float) -> Row:
    """A row as if it had been recorded now: its offer ends as long after now as it did then."""
    duration = row.get("duration")
    if not isinstance(duration, int | float):
        return dict(row)
    return {**row, "end_date": now + duration}


def gpus_of(row: Mapping[str, Any]) -> tuple[Any, frozenset[Any]]:
    """What somebody holds who has rented this offer; no GPUs: the whole machine."""
    machine = row.get("machine_id")
    if machine is None:
        machine = f"ask {row.get('id')}"
    ids = row.get("gpu_ids")
    return machine, frozenset(ids) if isinstance(ids, list) else frozenset()


def overlaps(row: Mapping[str, Any], machine: Any, gpus: frozenset[Any]) -> bool:
    """Whether an offer needs what somebody holds."""
    own_machine, own = gpus_of(row)
    return own_machine == machine and (not own or not gpus or bool(own & gpus))
