"""A marketplace that is sometimes wrong, and the world that others make of its account."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from broker.model import KeyType
from broker.ssh.keys import generate
from providers.base import Capabilities, Instance, LaunchSpec, Offer
from providers.simulator.account import Account
from providers.simulator.adapter import SimulatorProvider
from providers.simulator.faults import Fault, FaultBook, Operation, Word
from providers.simulator.machine import Machine, decide_fate, launch_of
from providers.simulator.market import default_market, host_of

OFFERS = 60
"""So few that consumers, other owners and misfortunes meet."""
_BETWEEN_LIES = timedelta(minutes=5)
FOR_EVER = 1_000_000
OUTAGE = tuple(
    Fault(Word.ERROR, operation, FOR_EVER)
    for operation in (Operation.LIST, Operation.GET, Operation.CREATE, Operation.DESTROY)
)
"""The marketplace is down."""

_HOST_KEY = generate(KeyType.ED25519, "host").private_pem


@dataclass
class Whims:
    """What is wrong with the marketplace, whatever becomes of the brokers that ask it."""

    faults: FaultBook = field(default_factory=FaultBook)
    proves_directly: bool = True
    """Asked for one machine, it says whether that exists."""
    lies: int = 0
    """So many lists more are without a machine that exists, and say that they are complete."""
    missing: int | None = None
    """Which machine they are without, as a number of any size; None: they are empty."""
    _may_lie_at: datetime | None = None

    @property
    def is_any(self) -> bool:
        return bool(self.faults.left) or self.lies > 0

    def lie(self, times: int, missing: int | None, now: datetime) -> None:
        """So many lists are wrong; where nothing else is a proof, one, and none soon after it."""
        if not self.proves_directly:
            if self._may_lie_at is not None and now < self._may_lie_at:
                return
            self._may_lie_at, times = now + _BETWEEN_LIES, 1
        self.lies, self.missing = times, missing

    def end(self) -> None:
        """All is well again."""
        self.faults.clear()
        self.lies = 0


class LyingMarket(SimulatorProvider):
    """The simulated market with lists that lie."""

    whims: Whims

    @classmethod
    def like(cls, usual: SimulatorProvider, whims: Whims) -> LyingMarket:
        """The same account, with these whims."""
        market = cls(usual._options, usual._marketplace, usual._thread)
        market.whims, market.faults = whims, whims.faults
        return market

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, direct_proof=self.whims.proves_directly)

    async def list_instances(self) -> Sequence[Instance]:
        listed = list(await super().list_instances())
        if self.whims.lies == 0:
            return listed
        self.whims.lies -= 1
        if self.whims.missing is None:
            return []
        if listed:
            del listed[self.whims.missing % len(listed)]
        return listed


class AccountOwner:
    """Whoever else uses the account: rents and destroys machines by hand."""

    def __init__(self, folder: Path, now: Callable[[], datetime]) -> None:
        self._account = Account(folder)
        self._now = now
        self._offers = list(
            default_market(seed=1, offers=OFFERS, drift=timedelta()).at(now()).values()
        )

    def close(self) -> None:
        self._account.close()

    def machines(self) -> list[Machine]:
        """Every machine that was ever rented."""
        return list(self._account.all())

    def rent(self, label: str) -> Machine:
        """A machine of an offer that is still free, under a label of one's own choice."""
        now = self._now()
        taken = self._account.taken(now)
        # From the dear end of the market, where nobody is in the way.
        offer = next(one for one in reversed(self._offers) if host_of(one) not in taken)
        return self._account.rent(
            launch_of(_spec(offer, label), offer, host_id=host_of(offer), host_key=_HOST_KEY),
            lambda at: decide_fate(None, None, created_at=at, boot_time=timedelta(seconds=3)),
            now=now,
            created_at=now,
        )

    def destroy(self, machine: Machine) -> None:
        """Delete it by hand."""
        now = self._now()
        self._account.destroy(machine.id, destroyed_at=now, gone_at=now)


def _spec(offer: Offer, label: str) -> LaunchSpec:
    return LaunchSpec(offer, label, ())
