"""The daemon: start-up sweep, ready, timers, and a stop that leaves every machine alone."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from broker.app.build import Parts, built
from broker.app.listening import listening, url_of
from broker.app.timers import Timers
from broker.app.web import build_application
from broker.config import Settings
from broker.decide.pauses import growing
from broker.errors import StartupError, StoreUnwritable
from broker.logs import configure_logging, redact
from broker.store.lock import DatabaseLock, LockHeld
from broker.usecases.background import tell_of_end
from broker.usecases.restoring import take_up_copy
from providers.label import parse_label

log = logging.getLogger(__name__)

STARTING_PATIENCE = timedelta(seconds=10)
"""How long one call of a provider may hold up the start: a list, or the end of an orphan."""
_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(milliseconds=250), timedelta(seconds=30)
"""Between two tries to take up what an earlier process has left."""

_BETWEEN_FULL_COLLECTIONS = 1000
"""Collections of the middle generation: some minutes of hard work."""


class Daemon:
    """A serving broker, from its start to its stop."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._timers = Timers(parts)
        self._starting: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._is_ready = False
        self._stumble: Exception | None = None
        """What the last try to take up what was left has met."""

    @property
    def is_ready(self) -> bool:
        return self._is_ready and self._parts.tools.store.outage is None

    @property
    def inventory_state(self) -> str:
        """How much of the market can be read. Before the first readings nothing is wrong yet."""
        readings = self._parts.tools.inventory.readings().values()
        failing = sum(reading.error is not None for reading in readings)
        if failing == 0:
            return "ok"
        return "degraded" if failing < len(readings) else "unavailable"

    @property
    def troubles(self) -> list[str]:
        """What does not work although it should."""
        troubles = []
        if self._is_ready and self._timers.is_standing_still:
            troubles.append("the sweeper stands still")
        outage = self._parts.tools.store.outage
        troubles += [str(outage)] if outage else []
        if not self._is_ready and self._stumble is not None:
            troubles.append(f"the start fails: {type(self._stumble).__name__}; it is tried again")
        return troubles

    async def alarms(self) -> list[str]:
        """What a person has to look at although the broker itself works."""
        stranded = await self._parts.accounts.stranded()
        return [*stranded, *self._parts.tools.destructions.alarms]

    def start(self) -> None:
        """Begin the start-up sweep in the background."""
        self._starting = asyncio.create_task(self._start(), name="start-up")
        self._starting.add_done_callback(tell_of_end)

    async def _start(self) -> None:
        parts = self._parts
        await self._until_taken_up()
        _warn_of_real_money(parts)
        if parts.deployment.is_new:
            _warn_of_predecessors(parts)
        self._timers.start()
        _spare_full_collections()
        self._is_ready = parts.opening.is_open = True
        log.info("Ready.")

    async def _until_taken_up(self) -> None:
        """Whatever goes wrong at first: without it nothing would ever end."""
        for tries in itertools.count(1):
            try:
                await self._take_up()
            except StoreUnwritable:
                self._stumble = None  # The writer tells of it, once for all who wait.
            except Exception as error:
                log.exception("The start met something unforeseen. It is tried again.")
                self._stumble = error
            else:
                return
            pause = growing(_FIRST_PAUSE, 2, tries, _LONGEST_PAUSE)
            await asyncio.sleep(pause.total_seconds())

    async def _take_up(self) -> None:
        """What a process before this one has left; may be done again."""
        parts = self._parts
        grace = parts.settings.lifecycle.orphan_grace_period
        await take_up_copy(parts.tools.store, grace=grace, now=parts.tools.now())
        await parts.tools.inventory.load()
        await parts.tools.funds.load()
        if self._reading is None:
            self._reading = asyncio.create_task(self._first_readings(), name="first-refresh")
            self._reading.add_done_callback(tell_of_end)
        # What is over does not wait for any marketplace's list.
        await parts.sweeper.reap()
        report = await parts.sweeper.sweep(parts.tools.doors, patience=STARTING_PATIENCE)
        for applied in report.actions:
            log.info("At the start: %s %s", applied.action, applied.reason)
        await parts.accounts.tell_of_drains()
        await parts.authorized.resume()
        await parts.watchdogs.resume()

    async def _first_readings(self) -> None:
        tools = self._parts.tools
        await asyncio.gather(tools.inventory.refresh_all(), tools.funds.refresh_all())

    async def stop(self) -> None:
        """Take nothing new, stop the timers; machines and rows stay."""
        self._is_ready = self._parts.opening.is_open = False
        await self._timers.stop()
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class Serving:
    """A broker that listens."""

    url: str
    parts: Parts


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Serving]:
    """A broker that listens."""
    lock = _lock(settings)
    try:
        async with built(settings) as parts:
            daemon = Daemon(parts)
            async with listening(build_application(parts, daemon), settings) as served:
                lock.announce(served.url)
                daemon.start()
                try:
                    yield Serving(served.url, parts)
                finally:
                    # Whoever asks for a session while others are still answered is told no.
                    await asyncio.gather(daemon.stop(), served.until_idle())
    finally:
        lock.release()


async def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; a second one ends the process at once."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if stopping.is_set():
            os._exit(1)
        stopping.set()

    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop)
    async with serving(settings) as broker:
        log.info("Listening on %s", broker.url)
        await stopping.wait()
        log.info("Stopping; rented machines stay as they are.")
    return 0


def run(settings: Settings) -> int:
    """The daemon, blocking; returns its exit code. Raises StartupError."""
    for secret in settings.secrets:
        redact(secret)
    configure_logging(settings.logging.level, settings.logging.format)
    return asyncio.run(serve(settings))


def _spare_full_collections() -> None:
    """Let the whole heap be searched for garbage rarely: everything stands still meanwhile.

    What lives for long here is let go of without it; what it finds is next to nothing.
    """
    gc.freeze()
    gc.set_threshold(*gc.get_threshold()[:2], _BETWEEN_FULL_COLLECTIONS)


def _lock(settings: Settings) -> DatabaseLock:
    try:
        return DatabaseLock.acquire(settings.database_path, url_of(settings, settings.server.port))
    except LockHeld as error:
        message = f"Another gpu-broker (process {error.pid}) works on {settings.database_path}."
        raise StartupError(message) from error


def _warn_of_real_money(parts: Parts) -> None:
    """Whoever tries something on the simulated market should know what is not simulated."""
    doors = parts.tools.doors.values()
    real = sum(door.drain is None for door in doors) - 1
    if parts.settings.providers.simulator.enabled and real:
        log.warning(
            "The simulated market is on, and so are %d real accounts: what is rented there costs "
            "money, also where the broker chooses the offer.",
            real,
        )


def _warn_of_predecessors(parts: Parts) -> None:
    """A broker that forgot who it was must say so where the accounts hold brokers' machines."""
    for name, fleet in parts.tools.fleets.items():
        instances = fleet.latest.instances if fleet.latest else ()
        labels = [label for one in instances if (label := parse_label(one.label)) is not None]
        if labels:
            others = ", ".join(sorted({label.deployment for label in labels}))
            log.warning(
                "This is a new deployment, and %s holds %d machines of other brokers (%s). If one "
                "of them was this broker, set DEPLOYMENT_ID to its id, or end its machines with "
                "`gpu-broker cleanup-orphans --deployment ID --execute`.",
                name,
                len(labels),
                others,
            )
