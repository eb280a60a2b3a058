"""Everything that the account has rented: what exists, what it does now, what can be rented."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from tests.vast_wire.account_keys import AccountKeys
from tests.vast_wire.contracts import (
    Attached,
    BootTimeline,
    Contract,
    Order,
    Phase,
    halted,
    life,
)
from tests.vast_wire.ledger import Ledger
from tests.vast_wire.machines import Machines
from tests.vast_wire.market import Market, gpus_of
from tests.vast_wire.misfortunes import Operation, Word
from tests.vast_wire.refusals import no_such_instance
from tests.vast_wire.rows import present_contract
from tests.wire.answers import Body
from tests.wire.misfortunes import Misfortune, Misfortunes

_FIRST_CONTRACT = 48_738_931
_SOMEBODY = Order(image="ubuntu:22.04", label=None, runtype="ssh_proxy", disk_gb=16, env={})


class Fleet:
    """The instances of one account, gone or not."""

    def __init__(
        self,
        *,
        market: Market,
        machines: Machines,
        ledger: Ledger,
        keys: AccountKeys,
        misfortunes: Misfortunes,
        boot: BootTimeline,
        now: Callable[[], datetime],
    ) -> None:
        self.market = market
        self.machines = machines
        self.ledger = ledger
        self.keys = keys
        self.misfortunes = misfortunes
        self.boot = boot
        self.now = now
        self.contracts: dict[int, Contract] = {}
        self._key_ids = 90_001

    def settle(self) -> datetime:
        """Let everything happen that should have by now, which is returned."""
        now = self.now()
        self.ledger.settle(self.contracts.values(), now)
        self.machines.settle(self.contracts.values(), now)
        for contract in self.contracts.values():
            renamed = contract.oddities.get(Word.RELABELLED)
            if renamed and contract.created_at + renamed.delay <= now:
                contract.label = renamed.text
                contract.oddities = _without(contract.oddities, Word.RELABELLED)
        return now

    def offers(self) -> list[Body]:
        """What can be rented now."""
        now = self.now()
        held = [gpus_of(one.ask) for one in self.contracts.values() if one.holds_gpus(now)]
        return self.market.free(held)

    def listed(self) -> list[Contract]:
        """Every instance that the service tells of, oldest first."""
        now = self.now()
        return [one for one in self.contracts.values() if one.is_listed(now)]

    def row(self, contract: Contract) -> Body:
        """An instance as it is told now."""
        return present_contract(contract, self.machines.address(contract), self.now())

    def rows(self) -> list[Body]:
        """All of them."""
        return [self.row(contract) for contract in self.listed()]

    def find(self, contract_id: object) -> Contract:
        """One of them. Raises `Refused`."""
        contract = self.contracts.get(int(str(contract_id)))
        if contract is None or not contract.is_listed(self.now()):
            raise no_such_instance(contract_id)
        return contract

    def by_key(self, key: str) -> Contract | None:
        """The instance that was given this key."""
        return next((one for one in self.contracts.values() if one.api_key == key), None)

    async def rent(self, ask: Body, order: Order, *, is_stopped: bool = False) -> Contract:
        """Make an instance of an offer, with the misfortunes that are planned for it."""
        taken = self.misfortunes.take(Operation.BOOT)
        oddities = {one.word: one for one in taken}
        now = self.now()
        late = oddities.get(Word.APPEARS_LATE)
        phases = [halted(now)] if is_stopped else life(now, self.boot, order.image, oddities)
        contract = Contract(
            id=_FIRST_CONTRACT + len(self.contracts),
            ask=dict(ask),
            order=order,
            api_key=secrets.token_hex(32),
            created_at=now,
            appears_at=now + (late.delay if late else timedelta()),
            phases=[*phases, *_contract_end(ask, phases)],
            label=order.label,
            oddities=oddities,
        )
        contract.keys = [self._attached(key, now) for key in self.keys.public_keys]
        self.contracts[contract.id] = contract
        await self.machines.start(contract)
        return contract

    def add(self, fields: Mapping[str, Any]) -> Contract:
        """An instance that somebody else has rented, without a machine behind it."""
        now = self.now()
        contract = Contract(
            id=_FIRST_CONTRACT + len(self.contracts),
            ask={"machine_id": 1, "gpu_name": "RTX 4090", "num_gpus": 1, "gpu_ram": 24_564},
            order=replace(_SOMEBODY, label=fields.get("label")),
            api_key=secrets.token_hex(32),
            created_at=now,
            appears_at=now,
            phases=[Phase(now, "running", "success, running ubuntu_22.04/ssh")],
            label=fields.get("label"),
            overrides={name: value for name, value in fields.items() if name != "label"},
        )
        self.contracts[contract.id] = contract
        return contract

    def destroy(self, contract: Contract, *, lingers: timedelta = timedelta()) -> None:
        """End an instance; its GPUs are free and its machine is gone when it is."""
        contract.gone_at = self.now() + lingers
        self.settle()

    def attach(self, contract: Contract, key: str) -> Attached:
        """Put a key on a machine."""
        late = contract.oddities.get(Word.KEY_LATE)
        works_at = self.now() + self.boot.keys + (late.delay if late else timedelta())
        attached = self._attached(key, works_at)
        if Word.KEY_DROPPED in contract.oddities:
            contract.oddities = _without(contract.oddities, Word.KEY_DROPPED)
            attached.is_lost = True
        contract.keys.append(attached)
        return attached

    def start(self, contract: Contract, *, in_time: timedelta | None = timedelta()) -> None:
        """Run a stopped machine again after `in_time`; None: it has to wait for ever."""
        now = self.now()
        queued = Phase(now, "stopped", "scheduling", cur="stopped")
        if in_time is None:
            contract.change(now, queued)
            return
        loading = now + in_time
        running = loading + (self.boot.running - self.boot.loading)
        phases = [Phase(loading, "loading"), Phase(running, "running", "success, running")]
        ending = _contract_end(contract.ask, phases)
        contract.change(now, *([queued] if in_time else []), *phases, *ending)

    def _attached(self, key: str, works_at: datetime) -> Attached:
        self._key_ids += 1
        return Attached(self._key_ids, key, works_at)


def _contract_end(ask: Body, phases: list[Phase]) -> list[Phase]:
    """A contract ends with the offer of its host: then the machine halts."""
    end = ask.get("end_date")
    if not isinstance(end, int | float) or phases[-1].actual != "running":
        return []
    at = datetime.fromtimestamp(min(end, _LATEST), tz=phases[-1].at.tzinfo)
    return [halted(at)] if at > phases[-1].at else []


_LATEST = 32_503_680_000
"""The year 3000: hosts say greater nonsense."""


def _without(oddities: Mapping[str, Misfortune], word: str) -> dict[str, Misfortune]:
    return {known: one for known, one in oddities.items() if known != word}
