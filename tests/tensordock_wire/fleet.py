"""Everything that the organization has: its machines, secrets and money."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from tests.tensordock_wire.ledger import FLOOR, Ledger
from tests.tensordock_wire.lives import (
    DISASSOCIATED,
    RUNNING,
    STOPPED,
    Phase,
    Timeline,
    VirtualMachine,
    delay_of,
    phases_of,
)
from tests.tensordock_wire.market import Market, free_ports
from tests.tensordock_wire.misfortunes import Operation, Word
from tests.tensordock_wire.orders import Forward, Order, add_bad_image
from tests.tensordock_wire.places import Host
from tests.tensordock_wire.refusals import NO_BALANCE, Invalid, Refused, error, no_such_instance
from tests.tensordock_wire.running import Running, keys_of
from tests.tensordock_wire.shapes import Shapes
from tests.wire.misfortunes import Misfortune, Misfortunes

_REMAPPED_BY = 1000
_SOMEBODYS = Order(
    *("somebody else's", "ubuntu2404", 4, 16, 100, "geforcertx3090-pcie-24gb", 1, "", None, ()),
    has_own_ip=True,
    ssh_key="ssh-ed25519 AAAA somebody",
    ssh_key_id=None,
    cloud_init={},
)


class Fleet:
    """The virtual machines, gone or not."""

    def __init__(
        self,
        *,
        market: Market,
        running: Running,
        ledger: Ledger,
        misfortunes: Misfortunes,
        timeline: Timeline,
        shapes: Shapes,
        now: Callable[[], datetime],
    ) -> None:
        self.market = market
        self.running = running
        self.ledger = ledger
        self.misfortunes = misfortunes
        self.timeline = timeline
        self.shapes = shapes
        self.now = now
        self.machines: dict[str, VirtualMachine] = {}
        self.secrets: dict[str, tuple[str, str]] = {}
        """Id -> name and public key."""

    def settle(self) -> datetime:
        """Let everything happen that should have by now, which is returned."""
        now = self.now()
        self.ledger.settle(self.machines.values(), now)
        self.running.settle(self.machines.values(), now)
        return now

    def listed(self) -> list[VirtualMachine]:
        """Every machine that the service tells of, oldest first."""
        now = self.now()
        return [one for one in self.machines.values() if one.is_listed(now)]

    def find(self, machine_id: str) -> VirtualMachine:
        """One of them. Raises `Refused`."""
        one = self.machines.get(machine_id)
        if one is None or not one.is_listed(self.now()):
            raise no_such_instance()
        return one

    async def create(self, order: Order) -> VirtualMachine:
        """Make a machine, with the misfortunes that are planned for it. Raises a refusal."""
        now = self.now()
        if self.ledger.balance <= FLOOR:
            raise Refused(NO_BALANCE, shape=self.shapes.error)
        host = self._place(order, now)
        places = (host.id, self.market.location_of(host).id)
        oddities = {one.word: one for one in self.misfortunes.take(Operation.BOOT, places)}
        one = self._new(order, host, oddities, now)
        secret = self.secrets.get(order.ssh_key_id or "", ("", order.ssh_key or ""))[1]
        one.public_keys = keys_of(one, secret)
        self.machines[one.id] = one
        await self.running.start(one)
        return one

    def add(self, name: str, **fields: object) -> VirtualMachine:
        """A machine that somebody else has made, without a real one behind it."""
        now = self.now()
        host = self.market.locations[0].hosts[0]
        order = replace(_SOMEBODYS, name=name, **fields)  # type: ignore[arg-type]
        phases = [Phase(now, RUNNING)]
        one = VirtualMachine(str(uuid.uuid4()), order, host, now, now, phases, now, now)
        one.address, one.is_foreign = "127.0.0.1", True
        self.machines[one.id] = one
        return one

    def delete(self, one: VirtualMachine, lingers: timedelta | None = None) -> None:
        """Accept the deletion of a machine; asked again, it takes no longer."""
        if one.deleted_at is None:
            took = self.timeline.deletion if lingers is None else lingers
            one.deleted_at = self.now()
            one.gone_at = one.deleted_at + took
        self.settle()

    def switch(self, one: VirtualMachine, operation: str) -> None:
        """Start or stop a machine. Raises `Refused`."""
        now, status = self.now(), one.status(self.now())
        if operation == Operation.STOP:
            one.change(now, STOPPED)
        elif status == RUNNING:
            raise error(409, "Machine is already running")
        elif status == DISASSOCIATED:
            raise error(400, "The GPUs of this machine are not available any more")
        else:
            one.change(now, RUNNING)
            one.ssh_at = now + self.timeline.ssh
        self.settle()

    def _place(self, order: Order, now: datetime) -> Host:
        try:
            host = self.market.place(order, self.machines.values(), now)
        except Refused as refused:
            refused.shape = self.shapes.error
            raise
        if order.image not in host.images:
            invalid = Invalid()
            add_bad_image(invalid, order.image)
            raise invalid
        return host

    def _new(
        self, order: Order, host: Host, oddities: dict[str, Misfortune], now: datetime
    ) -> VirtualMachine:
        late = oddities.get(Word.APPEARS_LATE)
        one = VirtualMachine(
            id=str(uuid.uuid4()),
            order=order,
            host=host,
            created_at=now,
            appears_at=now + (late.delay if late else timedelta()),
            phases=self._phases(now, oddities),
            address_at=now + self.timeline.address + delay_of(oddities, Word.ADDRESS_LATE),
            ssh_at=now + self.timeline.ssh + delay_of(oddities, Word.SSH_LATE),
            oddities=oddities,
        )
        if Word.STUCK_CREATING in oddities:
            one.address_at += delay_of(oddities, Word.STUCK_CREATING)
        one.forwards = self._granted(one, now)
        return one

    def _phases(self, now: datetime, oddities: dict[str, Misfortune]) -> list[Phase]:
        phases = phases_of(now, self.shapes.first_status, oddities)
        if phases[0].status != RUNNING and Word.STUCK_CREATING not in oddities:
            phases.insert(1, Phase(now + self.timeline.address, RUNNING))
        return sorted(phases, key=lambda phase: phase.at)

    def _granted(self, one: VirtualMachine, now: datetime) -> tuple[Forward, ...]:
        """The ports that are forwarded: those asked for where the host has them free."""
        if Word.FORWARDS_IGNORED in one.oddities:
            return ()
        free = free_ports(one.host, self.machines.values(), now)
        granted = []
        for asked in one.order.forwards:
            outside = asked.outside if asked.outside in free else free[0]
            free.remove(outside)
            if Word.PORTS_REMAPPED in one.oddities:
                outside += _REMAPPED_BY
            granted.append(Forward(asked.inside, outside, asked.protocol))
        return tuple(granted)
