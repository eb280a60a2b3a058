"""The simulated market as a provider like any other: the marketplace, and what goes wrong.

Whatever touches a file or a process runs in one thread of its own, one call after the
other; the event loop only waits.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from providers.base import (
    Capabilities,
    Instance,
    LaunchMode,
    LaunchSpec,
    OfferList,
    Template,
)
from providers.errors import (
    BadResponse,
    InvalidRequest,
    OfferGone,
    OutcomeUnknown,
    Unavailable,
)
from providers.label import parse_label
from providers.pacing import Lane, Pacer
from providers.simulator.faults import Fault, FaultBook, Operation, Word
from providers.simulator.machine import Fate, decide_fate
from providers.simulator.market import PROVIDER
from providers.simulator.marketplace import Bill, Marketplace, SimulatorOptions
from providers.simulator.templates import TEMPLATES

if TYPE_CHECKING:
    from aiohttp import web

P = ParamSpec("P")
T = TypeVar("T")

_DESTROY, _OTHER = "destroy", "other"
_PLACES = 100
"""Calls at once, in the lane of destructions and in the other."""
_PATIENCE = timedelta(minutes=1)
"""A call that the market has not answered by then is given up, as those of real markets are."""

CAPABILITIES = Capabilities(
    launch_modes=frozenset(LaunchMode),
    settle=timedelta(seconds=2),
    direct_proof=True,
    templates=True,
)


async def open_simulator(
    options: SimulatorOptions, now: Callable[[], datetime]
) -> SimulatorProvider:
    """Open the account in `options.data_dir`, and run the machines that it holds.

    Raises `BadResponse` where `options.market_file` cannot be read as a market, and
    `Unavailable` where the account cannot be opened.
    """
    thread = ThreadPoolExecutor(1, thread_name_prefix=PROVIDER)
    try:
        marketplace = await _run_in(thread, partial(Marketplace, options, now))
    except BaseException:
        thread.shutdown(wait=False)
        raise
    return SimulatorProvider(options, marketplace, thread)


class SimulatorProvider:
    """One simulated marketplace account. Build it with `open_simulator`."""

    def __init__(
        self, options: SimulatorOptions, marketplace: Marketplace, thread: ThreadPoolExecutor
    ) -> None:
        self._options = options
        self._marketplace = marketplace
        self._thread = thread
        self._is_closed = False
        self._pacer = Pacer(dict.fromkeys((_DESTROY, _OTHER), Lane(concurrency=_PLACES)))
        self.faults = FaultBook(options.faults)

    @property
    def name(self) -> str:
        return PROVIDER

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    @property
    def machines_pid(self) -> int | None:
        """The id of the process in which the machines run, while there is one."""
        return self._marketplace.machines_pid

    def routes(self) -> list[web.RouteDef]:
        """What the application mounts under `/simulator`."""
        # The process of the machines imports this package too, and starts faster without HTTP.
        from providers.simulator.routes import fault_routes  # noqa: PLC0415

        return fault_routes(self.faults)

    async def list_offers(self) -> OfferList:
        async with self._pacer.turn(_OTHER):
            await self._suffer(Operation.LIST)
            return await self._do(self._marketplace.offers)

    async def list_templates(self) -> Sequence[Template]:
        return TEMPLATES

    async def create(self, spec: LaunchSpec) -> Instance:
        async with self._pacer.turn(_OTHER):
            whose = spec.offer.id, _session_of(spec.label)
            fault = await self._suffer(Operation.CREATE, *whose)
            fate = partial(self._decide_fate, *whose)
            late = _delay(fault, Word.LATE_EFFECT)
            instance = await self._do(self._marketplace.rent, spec, fate, appears_in=late)
            if fault and fault.fault in (Word.REPLY_LOST, Word.LATE_EFFECT):
                raise OutcomeUnknown("The market's answer to the rental was lost.")
            return instance

    async def list_instances(self) -> Sequence[Instance]:
        async with self._pacer.turn(_OTHER):
            await self._suffer(Operation.LIST)
            return await self._do(self._marketplace.instances)

    async def get(self, instance_id: str) -> Instance:
        async with self._pacer.turn(_OTHER):
            await self._suffer(Operation.GET, *await self._whose(instance_id))
            return await self._do(self._marketplace.instance, instance_id)

    async def destroy(self, instance_id: str) -> None:
        async with self._pacer.turn(_DESTROY):
            fault = await self._suffer(Operation.DESTROY, *await self._whose(instance_id))
            if fault and fault.fault is Word.IGNORED:
                return
            late = _delay(fault, Word.LATE_EFFECT)
            await self._do(self._marketplace.destroy, instance_id, gone_in=late)
            if fault and fault.fault is Word.REPLY_LOST:
                raise Unavailable("The market's answer to the destruction was lost.")

    async def statement(self, now: datetime) -> tuple[Bill, ...]:
        """Every machine ever rented and what it has cost up to `now`, oldest first."""
        return await self._do(self._marketplace.statement, now)

    async def bill(self, now: datetime) -> Decimal:
        """USD that the account owes at `now`."""
        return sum((line.billed for line in await self.statement(now)), Decimal())

    async def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            await self._do(self._marketplace.close)
            self._thread.shutdown(wait=False)

    async def _suffer(
        self, operation: Operation, offer_id: str | None = None, session_id: str | None = None
    ) -> Fault | None:
        """Let the next misfortune of a call happen; what is left to do of it is returned."""
        fault = self.faults.take(operation, offer_id=offer_id, session_id=session_id)
        if fault is None:
            return None
        if fault.fault is Word.SLOW:
            await _wait(_delay(fault, Word.SLOW), operation)
        _raise(fault)
        return fault

    def _decide_fate(self, offer_id: str, session_id: str | None, created_at: datetime) -> Fate:
        """The fate of a new machine: its next misfortunes are used up."""
        return decide_fate(
            self.faults.take(Operation.BOOT, offer_id=offer_id, session_id=session_id),
            self.faults.take(Operation.SSH, offer_id=offer_id, session_id=session_id),
            created_at=created_at,
            boot_time=self._options.boot_time,
        )

    async def _whose(self, instance_id: str) -> tuple[str | None, str | None]:
        """The offer and the session of a machine, gone or not: what misfortunes are bound to."""
        machine = await self._do(self._marketplace.history, instance_id)
        if machine is None:
            return None, None
        return f"{PROVIDER}-{machine.launch.offer_id}", _session_of(machine.launch.label)

    async def _do(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in the marketplace's thread."""
        return await _run_in(self._thread, partial(work, *args, **kwargs))


async def _run_in(thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    """Run `work` in `thread`; a broken account is a marketplace that cannot be reached."""
    try:
        return await asyncio.get_running_loop().run_in_executor(thread, work)
    except sqlite3.Error as error:
        raise Unavailable(f"The simulated account cannot be used: {error}.") from error


async def _wait(delay: timedelta, operation: Operation) -> None:
    """Wait for an answer that is late; nothing has been done where it is not waited for."""
    await asyncio.sleep(min(delay, _PATIENCE).total_seconds())
    if delay > _PATIENCE:
        message = "The market did not answer in time."
        raise OutcomeUnknown(message) if operation is Operation.CREATE else Unavailable(message)


def _raise(fault: Fault) -> None:
    """Raise what a misfortune does to a call before it has done anything."""
    match fault.fault, fault.operation:
        case Word.OFFER_GONE, _:
            raise OfferGone
        case Word.PARTIAL, _:
            raise BadResponse("The market's list is incomplete.")
        case Word.REFUSED, Operation.CREATE:
            raise InvalidRequest("The market refuses this rental.")
        case ((Word.REFUSED | Word.ERROR), _):
            raise Unavailable("The market does not serve this call.")
        case _:
            return


def _delay(fault: Fault | None, word: Word) -> timedelta:
    """The delay of a misfortune of this kind, else none."""
    return (fault and fault.fault is word and fault.delay) or timedelta()


def _session_of(label: str) -> str | None:
    parsed = parse_label(label)
    return parsed.session_id if parsed else None
