"""A marketplace that is sometimes wrong, and the world that others make of its account."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from broker.model import KeyType
from broker.ssh.keys import generate
from providers.base import Capabilities, Instance, LaunchSpec, Offer
from providers.errors import NotFound, ProviderError
from providers.simulator.account import Account
from providers.simulator.adapter import SimulatorProvider
from providers.simulator.faults import Fault, FaultBook, Operation, Word
from providers.simulator.machine import Machine, decide_fate, launch_of
from providers.simulator.market import default_market, host_of
from tests.lifecycle.answers import Answers
from tests.simulated import SimulatedTime

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


class Misfortunes(FaultBook):
    """Those that are still to come, and whether one has come."""

    def __init__(self) -> None:
        super().__init__()
        self.have_struck = False

    def take(
        self, operation: Operation, *, offer_id: str | None = None, session_id: str | None = None
    ) -> Fault | None:
        fault = super().take(operation, offer_id=offer_id, session_id=session_id)
        self.have_struck = self.have_struck or fault is not None
        return fault


@dataclass
class Whims:
    """What is wrong with the marketplace, whatever becomes of the brokers that ask it.

    It never says twice in a row, and with nothing else to be believed, that a machine is gone that
    is not: nobody could know better.
    """

    time: SimulatedTime
    proves_directly: bool
    """Asked for one machine, it says whether that exists."""
    answers: Answers
    faults: Misfortunes = field(default_factory=Misfortunes)
    lies: int = 0
    """So many lists more are without a machine that exists, and say that they are complete."""
    missing: int | None = None
    """Which machine they are without, as a number of any size; None: they are empty."""
    denials: int = 0
    """So often more it says of a machine that was asked for alone that it does not exist."""
    lags: int = 0
    """So many lists more arrive late."""
    lag: timedelta = timedelta()
    doomed: set[str] = field(default_factory=set)
    """Machines that somebody asked it to destroy."""
    _lied_until: datetime | None = None
    """Until when another lie might be the second in a row."""
    _denied_until: datetime | None = None
    _unproved_until: datetime | None = None
    """Until when whoever asked for one machine may have no answer."""

    @property
    def now(self) -> datetime:
        """True time."""
        return self.time.true_now()

    def end(self) -> None:
        """All is well again."""
        self.faults.clear()
        self.lies = self.denials = self.lags = 0

    def takes_lie(self) -> bool:
        """Whether this list is wrong."""
        is_alone = not self.proves_directly or self._is_before(self._unproved_until)
        if self.lies == 0 or (is_alone and self._is_before(self._lied_until)):
            return False
        self.lies -= 1
        self._lied_until = self.now + _BETWEEN_LIES
        self.faults.have_struck = True
        return True

    def takes_denial(self, instance_id: str) -> bool:
        """Whether this answer to the question for one machine is wrong."""
        is_doomed = instance_id in self.doomed
        if self.denials == 0 or is_doomed or self._is_before(self._denied_until):
            return False
        self.denials -= 1
        self._denied_until = self.now + _BETWEEN_LIES
        self.faults.have_struck = True
        return True

    def takes_lag(self) -> timedelta:
        """How late this list arrives."""
        if self.lags == 0:
            return timedelta()
        self.lags -= 1
        self.faults.have_struck = True
        return self.lag

    def list_failed(self) -> None:
        """What was said last stands for longer."""
        if self._is_before(self._lied_until):
            self._lied_until = self.now + _BETWEEN_LIES

    def get_failed(self) -> None:
        self._unproved_until = self.now + _BETWEEN_LIES
        if self._is_before(self._denied_until):
            self._denied_until = self._unproved_until

    def _is_before(self, instant: datetime | None) -> bool:
        return instant is not None and self.now < instant


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
        asked_at = self.whims.now
        try:
            listed = list(await super().list_instances())
        except ProviderError:
            self.whims.list_failed()
            raise
        if listed and self.whims.takes_lie():
            which = self.whims.missing
            listed = [] if which is None else _without(listed, which % len(listed))
        if lag := self.whims.takes_lag():
            await self.whims.time.pass_by(seconds=lag.total_seconds())
        self.whims.answers.note(asked_at, None, listed)
        return listed

    async def get(self, instance_id: str) -> Instance:
        asked_at = self.whims.now
        try:
            instance = await super().get(instance_id)
        except NotFound:
            self.whims.answers.note(asked_at, instance_id, [])
            raise
        except ProviderError:
            self.whims.get_failed()
            raise
        if self.whims.takes_denial(instance_id):
            self.whims.answers.note(asked_at, instance_id, [])
            raise NotFound
        self.whims.answers.note(asked_at, instance_id, [instance])
        return instance

    async def destroy(self, instance_id: str) -> None:
        asked_at = self.whims.now
        self.whims.doomed.add(instance_id)
        try:
            await super().destroy(instance_id)
        except NotFound:
            self.whims.answers.note(asked_at, instance_id, [])
            raise


def _without(listed: Sequence[Instance], which: int) -> list[Instance]:
    return [one for n, one in enumerate(listed) if n != which]


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
