"""One simulated TensorDock with one organization, served on loopback in the test's own process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

from aiohttp import web

from tests.tensordock_wire import refusals
from tests.tensordock_wire.fleet import Fleet
from tests.tensordock_wire.ledger import Ledger
from tests.tensordock_wire.limits import Limiter
from tests.tensordock_wire.lives import Timeline, VirtualMachine
from tests.tensordock_wire.market import Market
from tests.tensordock_wire.misfortunes import VOCABULARY, Operation, Word
from tests.tensordock_wire.places import LOCATIONS, Location
from tests.tensordock_wire.routes import V0, V2, Routes, operation_of
from tests.tensordock_wire.running import Running
from tests.tensordock_wire.shapes import Shapes
from tests.wire.answers import Body, raw
from tests.wire.gate import Call, Gate, bearer_of
from tests.wire.misfortunes import Misfortune, Misfortunes
from tests.wire.service import Service
from tests.wire.serving import serving

API_TOKEN = "Q2VydGFpbmx5Tm90QVJlYWxUb2tlbg"
AUTH_ID = "3f0a6c52-7a35-4a53-9f0e-2f1f5d9f4a10"
_BALANCE = Decimal(100)
_WITHOUT_TOKEN = frozenset({Operation.LOCATIONS, Operation.BALANCE, Operation.OTHER})


class TensordockWire(Service):
    """The service. Build it with `open_tensordock_wire`."""

    def __init__(self, *, fleet: Fleet, limiter: Limiter, api_token: str, auth_id: str) -> None:
        super().__init__(
            Gate(
                vocabulary=VOCABULARY,
                misfortunes=fleet.misfortunes,
                operation_of=operation_of,
                settle=fleet.settle,
                admit=self._admit,
                answer=_answer,
            )
        )
        self.api_token = api_token
        self.auth_id = auth_id
        self.v0_url = ""
        """The base of the old API, for the balance."""
        self.fleet = fleet
        self.shapes: Shapes = fleet.shapes
        """How answers look; tests change it."""
        self._limiter = limiter

    @property
    def violations(self) -> int:
        """How many calls came too many, where there are limits."""
        return self._limiter.violations

    @property
    def balance(self) -> Decimal:
        """USD that are left; at 1 every machine stops."""
        self.fleet.settle()
        return self.fleet.ledger.balance

    @balance.setter
    def balance(self, balance: Decimal) -> None:
        self.fleet.settle()
        self.fleet.ledger.balance = balance
        self.fleet.ledger.enforce(self.fleet.machines.values(), self.fleet.now())
        self.fleet.settle()

    @property
    def billed(self) -> Decimal:
        """USD that all machines together have cost so far."""
        self.fleet.settle()
        return sum((one.billed for one in self.fleet.machines.values()), Decimal())

    def instances(self) -> list[Body]:
        """All machines that there are, as their own call tells them."""
        now = self.fleet.settle()
        return [self.shapes.machine(one, now) for one in self.fleet.listed()]

    def instance(self, machine_id: str) -> Body | None:
        """One of them; None when it is gone."""
        return next((one for one in self.instances() if one["id"] == machine_id), None)

    def add_instance(self, name: str = "somebody else's", **fields: object) -> str:
        """A machine of somebody else in the same organization; `fields` are those of its order."""
        self.fleet.settle()
        return self.fleet.add(name, **fields).id

    def machine(self, machine_id: str) -> VirtualMachine:
        """What is behind an instance, gone or not."""
        return self.fleet.machines[machine_id]

    def routes(self) -> Iterable[web.RouteDef]:
        return Routes(self.fleet, api_token=self.api_token, auth_id=self.auth_id).table()

    def _admit(self, request: web.Request, call: Call) -> None:
        if call.operation not in _WITHOUT_TOKEN and bearer_of(request) != self.api_token:
            raise refusals.bad_token()
        if not self._limiter.admits(asyncio.get_running_loop().time()):
            raise refusals.too_many_calls()


def _answer(misfortune: Misfortune) -> web.Response | None:
    """What the service says for a word of its own that happens instead of a call."""
    match misfortune.word:
        case Word.ERROR:
            text = misfortune.text or "Internal server error"
            return refusals.error(misfortune.status or 500, text).response()
        case Word.RATE_LIMITED if misfortune.text is not None:
            return raw(429, misfortune.text)
        case Word.RATE_LIMITED:
            return refusals.too_many_calls().response()
        case Word.BAD_TOKEN:
            return refusals.bad_token().response()
        case Word.NOT_ALLOWED:
            return refusals.not_allowed().response()
    return None


@asynccontextmanager
async def open_tensordock_wire(
    data_dir: Path,
    *,
    now: Callable[[], datetime],
    ssh: bool = True,
    limits: bool | float = False,
    locations: Sequence[Location] = LOCATIONS,
    stale: timedelta = timedelta(),
    timeline: Timeline | None = None,
    api_token: str = API_TOKEN,
    auth_id: str = AUTH_ID,
    port: int = 0,
) -> AsyncIterator[TensordockWire]:
    """Serve a fresh organization on loopback, with its machines' disks in `data_dir`.

    Without `ssh` no process is started, and nothing answers where machines say they are.
    `limits` stretches the minute in which so many calls may be made; True: as it is. `stale`
    is how far the list of locations may be behind.
    """
    fleet = Fleet(
        market=Market(locations, stale),
        running=Running(data_dir, now, ssh=ssh),
        ledger=Ledger(_BALANCE, now()),
        misfortunes=Misfortunes(VOCABULARY),
        timeline=timeline or Timeline(),
        shapes=Shapes(),
        now=now,
    )
    limiter = Limiter(float(limits))
    wire = TensordockWire(fleet=fleet, limiter=limiter, api_token=api_token, auth_id=auth_id)
    pulse = fleet.settle if ssh else None
    try:
        async with serving(wire, pulse=pulse, port=port) as base:
            wire.url, wire.v0_url = base + V2, base + V0
            yield wire
    finally:
        await fleet.running.close()
