"""The account of the simulated market, read and written behind the broker's back."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from broker.clock import utcnow
from providers.base import LaunchSpec
from providers.label import Label
from providers.simulator.account import Account
from providers.simulator.machine import Fate, Machine
from providers.simulator.marketplace import Marketplace, SimulatorOptions

DEPLOYMENT = "matrix"
"""Of the broker that dies."""

FOREIGN = ("somebodys-own", str(Label("other", "sess-aaaaaaaaaaaa", utcnow(), 1)))
"""Labels of machines in the same account that are none of ours: nobody's, and another broker's."""


def rent_foreign(data_dir: Path) -> None:
    """Somebody else rents machines in the account."""
    for label in FOREIGN:
        rent(data_dir, label)


def rent_orphan(data_dir: Path) -> None:
    """A machine with our label that no database knows."""
    deadline = utcnow() + timedelta(hours=13)
    rent(data_dir, str(Label(DEPLOYMENT, "sess-bbbbbbbbbbbb", deadline, 1)))


def rent(data_dir: Path, label: str) -> None:
    """Rent the dearest free machine of the market, which no test asks for."""
    options = SimulatorOptions(data_dir=data_dir, drift=timedelta(), ssh=False)
    market = Marketplace(options, utcnow)
    try:
        offer = max(market.offers().offers, key=lambda one: one.price_per_hour)
        market.rent(LaunchSpec(offer, label, ()), lambda at: Fate(boots_at=at))
    finally:
        market.close()


def machines(data_dir: Path) -> Sequence[Machine]:
    """Every machine that was ever rented, oldest first."""
    with closing(Account(data_dir)) as account:
        return list(account.all())
