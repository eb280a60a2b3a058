"""A broker with the simulated market, whole, in simulated time; without HTTP and without SSH."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from broker.app.adapters import open_providers
from broker.app.build import Parts, built
from broker.app.daemon import Daemon
from broker.config import Settings, load_settings
from broker.decide.draining import Drain
from broker.model import Confidential, Criteria, Event, Session, Status
from broker.usecases.idempotency import UNKEYED
from providers.base import Provider
from providers.simulator.adapter import SimulatorProvider
from providers.simulator.faults import parse_fault
from providers.simulator.marketplace import Bill
from tests.builders import a_request
from tests.simulated.logins import SimulatedLogins
from tests.simulated.time import SimulatedTime

SETTINGS = {
    "providers.simulator.enabled": True,
    "providers.simulator.ssh": False,
    "providers.simulator.drift": "0s",
}
"""All others are as users have them: nobody waits for anything."""

_BETWEEN_LOOKS = 0.5
"""Simulated seconds."""


@dataclass(frozen=True)
class Simulated:
    """A broker that works by itself, and the world around it."""

    time: SimulatedTime
    parts: Parts
    daemon: Daemon
    market: SimulatorProvider
    logins: SimulatedLogins

    async def open(self, **request: Any) -> Session:
        """A new session, as `POST /sessions` makes it: an hour on the cheapest RTX 4090.

        `request` are fields of `Request`. What cannot be served raises what `Opening` says.
        """
        asked = {"offer_id": None, "criteria": Criteria(gpu_type="RTX 4090")} | request
        opened = await self.parts.opening.open(
            a_request(**asked), Confidential(), public_key=None, disk_gb=None, turn=UNKEYED
        )
        return opened.overview.session

    async def running(self, **request: Any) -> Session:
        """A new session that runs."""
        session = await self.open(**request)
        return await self.until(session.id, Status.RUNNING)

    async def session(self, session_id: str) -> Session:
        """As it is now."""
        return await self.parts.sessions.get(session_id)

    async def until(self, session_id: str, *statuses: Status, **longest: float) -> Session:
        """The session as soon as it has one of these statuses: within 20 minutes, or `longest`."""
        patience = timedelta(**longest or {"minutes": 20}).total_seconds()
        with self.parts.tools.journal.watch(session_id) as changes:
            session = await self.session(session_id)
            if session.status not in statuses:
                found = await changes.until(lambda c: c.session.status in statuses, patience)
                assert found, (await self.session(session_id), await self.events(session_id))
        return await self.session(session_id)

    async def events(self, session_id: str | None = None) -> list[Event]:
        """What happened, to one session or to anything, oldest first."""
        return await self.parts.tools.store.events(session_id=session_id, limit=10_000)

    def fault(self, fault: str, operation: str, times: int = 1, **fields: Any) -> None:
        """Plan a misfortune at the market, as `POST /simulator/faults` does."""
        asked = {"fault": fault, "operation": operation, "times": times, **fields}
        self.market.faults.add(parse_fault(asked))

    async def bills(self) -> tuple[Bill, ...]:
        """Every machine that was ever rented, whatever ails the market."""
        return await self.market.statement(self.time.true_now())

    async def alive(self) -> list[Bill]:
        """The machines that cost money now."""
        return [bill for bill in await self.bills() if bill.ends_at is None]


def settings_in(folder: Path, **changes: Any) -> Settings:
    """The settings of a simulated broker that keeps everything in `folder`.

    `changes` are keys of the configuration with `__` for the dots: `ssh__verify_timeout="1m"`.
    """
    given = {name.replace("__", "."): value for name, value in changes.items()}
    flags = SETTINGS | {"database.url": str(folder / "broker.db")} | given
    return load_settings(file=None, environment={}, flags=flags)


@asynccontextmanager
async def simulated_broker(
    time: SimulatedTime,
    folder: Path,
    market_of: Callable[[SimulatorProvider], SimulatorProvider] = lambda market: market,
    **changes: Any,
) -> AsyncIterator[Simulated]:
    """A broker that is ready, and works by itself for as long as time passes.

    Its clock on the wall is `time.now`; the market and its machines go by `time.true_now`.
    `market_of` may make another market of the usual one. `changes` are as in `settings_in`. At the
    end it stops as at SIGTERM: machines stay.
    """
    settings = settings_in(folder, **changes)
    logins = SimulatedLogins(settings.data_dir, time.true_now)

    async def adapters(
        settings: Settings, data_dir: Path, _: Callable[[], datetime], drains: Sequence[Drain]
    ) -> Mapping[str, Provider]:
        opened = await open_providers(settings, data_dir, time.true_now, drains)
        usual = opened["simulator"]
        assert isinstance(usual, SimulatorProvider)
        return {**opened, usual.name: market_of(usual)}

    async with built(settings, time.now, adapters=adapters, logins=lambda: logins) as parts:
        market = parts.providers["simulator"]
        assert isinstance(market, SimulatorProvider)
        daemon = Daemon(parts)
        daemon.start()
        try:
            while not daemon.is_ready:
                assert not daemon.troubles, daemon.troubles
                await time.pass_by(seconds=_BETWEEN_LOOKS)
            yield Simulated(time, parts, daemon, market, logins)
        finally:
            await daemon.stop()
            gc.unfreeze()  # a process starts one broker, and a test many
