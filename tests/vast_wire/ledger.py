"""The money of the account: what runs is charged by the second, and all stops when it is spent."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from tests.vast_wire.contracts import Contract
from tests.wire.answers import Body

_HOUR = 3600


@dataclass
class Ledger:
    """The prepaid credit in USD, charged up to an instant."""

    credit: float
    charged_until: datetime
    drain_per_second: float = 0.0
    """What goes away beside the machines."""

    def settle(self, contracts: Collection[Contract], now: datetime) -> None:
        """Charge up to `now`, from one change of a machine to the next."""
        while self.charged_until < now:
            since = self.charged_until
            changes = (at for one in contracts for at in _changes(one) if since < at < now)
            self._charge(contracts, min(changes, default=now))
        if self.credit <= 0:
            _stop(contracts, now)

    def charge_traffic(self, contract: Contract, *, down_gb: float, up_gb: float) -> None:
        """Charge what a machine has sent and received, in whatever state."""
        prices = [float(contract.ask.get(f"inet_{way}_cost") or 0) for way in ("down", "up")]
        cost = prices[0] * down_gb + prices[1] * up_gb
        self.credit -= cost
        contract.charged["traffic"] = contract.charged.get("traffic", 0) + cost

    def _charge(self, contracts: Collection[Contract], until: datetime) -> None:
        """Charge one span in which no price changes; it ends early where the money does."""
        since = self.charged_until
        rates = [(one, one.rates(since)) for one in contracts if _is_billed(one, since)]
        per_second = sum(sum(rate.values()) for _, rate in rates) / _HOUR + self.drain_per_second
        seconds = (until - since).total_seconds()
        if 0 < self.credit <= per_second * seconds:
            seconds = self.credit / per_second
            until = min(since + timedelta(seconds=seconds), until)
            self.credit = 0
            _stop(contracts, until)
        else:
            self.credit -= per_second * seconds
        for contract, rate in rates:
            for what, price in rate.items():
                contract.charged[what] += price * seconds / _HOUR
        self.charged_until = until


def _changes(contract: Contract) -> list[datetime]:
    ends = [contract.gone_at] if contract.gone_at else []
    return [*(phase.at for phase in contract.phases), contract.created_at, *ends]


def _is_billed(contract: Contract, at: datetime) -> bool:
    return contract.created_at <= at and not contract.is_gone(at)


def _stop(contracts: Collection[Contract], at: datetime) -> None:
    """Everything halts; the disks stay."""
    for contract in contracts:
        if not contract.is_gone(at) and contract.phase(at).intended == "running":
            contract.stop(at)


def charge_rows(contracts: Collection[Contract], now: datetime) -> list[Body]:
    """What was charged so far, an instance a row."""
    return [
        {
            "type": "instance",
            "source": f"instance-{contract.id}",
            "description": f"Instance {contract.id}",
            "amount": sum(contract.charged.values()),
            "day": contract.created_at.timestamp(),
            "start": contract.created_at.timestamp(),
            "end": (contract.gone_at or now).timestamp(),
            "metadata": {"contract_id": contract.id, "label": contract.label},
            "items": [
                {
                    "type": what,
                    "source": None,
                    "description": what,
                    "amount": amount,
                    "start": contract.created_at.timestamp(),
                    "end": (contract.gone_at or now).timestamp(),
                    "metadata": {},
                    "items": [],
                }
                for what, amount in contract.charged.items()
            ],
        }
        for contract in contracts
    ]
