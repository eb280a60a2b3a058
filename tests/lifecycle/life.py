"""The life of brokers and their sessions as a state machine that Hypothesis drives."""

from __future__ import annotations

import gc
import shutil
import tempfile
from collections.abc import Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from broker.effects import Effect, Moment
from broker.model import Criteria, RetryScope, Session
from providers.simulator.faults import Fault, Operation, Word
from tests.lifecycle.laws import TO_LOSE, TO_MISS, TO_REAP, Laws
from tests.lifecycle.market import OUTAGE
from tests.lifecycle.scene import Scene, look
from tests.lifecycle.world import LONGEST_DELAY, VERIFY_TIMEOUT, World
from tests.simulated.dooms import Death
from tests.simulated.inline import InlineTime

Luck: TypeAlias = Fault | Death | None

_QUIET = VERIFY_TIMEOUT + TO_REAP + TO_LOSE + TO_MISS
"""After so long without a misfortune, everything is in order."""

_MISFORTUNES = (
    (Word.OFFER_GONE, Operation.CREATE),
    (Word.REFUSED, Operation.CREATE),
    (Word.ERROR, Operation.CREATE),
    (Word.SLOW, Operation.CREATE),
    (Word.REPLY_LOST, Operation.CREATE),
    (Word.LATE_EFFECT, Operation.CREATE),
    (Word.NEVER_BOOTS, Operation.BOOT),
    (Word.SLOW, Operation.BOOT),
    (Word.WRONG_GPU, Operation.BOOT),
    (Word.DIES, Operation.BOOT),
    (Word.ERROR, Operation.BOOT),
    (Word.KEY_LATE, Operation.SSH),
    (Word.REFUSED, Operation.SSH),
    (Word.SLOW, Operation.SSH),
    (Word.ERROR, Operation.LIST),
    (Word.SLOW, Operation.LIST),
    (Word.PARTIAL, Operation.LIST),
    (Word.ERROR, Operation.GET),
    (Word.SLOW, Operation.GET),
    (Word.ERROR, Operation.DESTROY),
    (Word.SLOW, Operation.DESTROY),
    (Word.REPLY_LOST, Operation.DESTROY),
    (Word.LATE_EFFECT, Operation.DESTROY),
    (Word.IGNORED, Operation.DESTROY),
)
_DEADLY = frozenset(Effect) - {
    Effect.LIST_TEMPLATES,
    Effect.BALANCE,
    Effect.ATTACH_KEY,
    Effect.DETACH_KEY,
}
"""The effects that there are with this market."""


def seconds(*choices: float) -> st.SearchStrategy[timedelta]:
    """One of these spans of time."""
    return st.sampled_from([timedelta(seconds=choice) for choice in choices])


picks = st.integers(0, 5)
"""Which of those that there are, as a number of any size."""
spans = seconds(0, 0.2, 2, 5, 20, 70, 200, 700)
patiences = st.sampled_from([None, timedelta(), timedelta(milliseconds=1), timedelta(seconds=2)])
"""How long a consumer waits for an answer; None: until it comes."""
delays = seconds(0.5, 5, LONGEST_DELAY.total_seconds())
downtimes = seconds(0, 3, 90, 900, 2000)
deaths = st.one_of(
    st.builds(Death, st.none(), st.sampled_from(Moment), st.integers(0, 25)),
    st.builds(Death, st.sampled_from(sorted(_DEADLY)), st.sampled_from(Moment), st.integers(0, 2)),
)


def faults(*operations: Operation) -> st.SearchStrategy[Fault]:
    """What may go wrong in these operations."""
    return st.builds(
        lambda what, times, delay: Fault(*what, times, delay),
        st.sampled_from([what for what in _MISFORTUNES if what[1] in operations]),
        st.sampled_from([1, 1, 2, 5, 30]),
        delays,
    )


def lucks(*operations: Operation) -> st.SearchStrategy[Fault | Death | None]:
    """What comes with a deed: nothing, a misfortune, the death of the broker."""
    return st.one_of(st.none(), faults(*operations), deaths)


_ASKED = {
    "consumer_id": st.sampled_from(["ann", "ben"]),
    "reservation": st.sampled_from([timedelta(minutes=n) for n in (3, 8, 20)]),
    "auto_retry": st.booleans(),
    "retry_scope": st.sampled_from(RetryScope),
    "idle_threshold": st.sampled_from([None, None, timedelta(minutes=5)]),
    "managed_access": st.sampled_from([True, True, False]),
}
_ANY = {"offer_id": None, "criteria": Criteria(gpu_type="RTX 4090")}
requests = st.fixed_dictionaries(_ASKED)


_OF_LAUNCHES = lucks(Operation.CREATE, Operation.BOOT, Operation.SSH, Operation.GET)
_OF_LISTS = lucks(Operation.LIST)
_OF_ENDS = lucks(Operation.DESTROY, Operation.GET, Operation.LIST)


class Life(RuleBasedStateMachine):
    """Everything that can happen to a broker, and what must be true after each of it."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = Path(tempfile.mkdtemp(prefix="gpu-broker-life-", dir=_fastest()))
        self._time = InlineTime()
        self._time.__enter__()
        self._keys = 0
        self._keyed: list[tuple[str, dict[str, Any]]] = []
        self._downtime = timedelta()

    @initialize(drift=st.sampled_from(["0s", "30s"]), proves_directly=st.booleans(), first=requests)
    def begin(self, drift: str, proves_directly: bool, first: dict[str, Any]) -> None:
        """A broker starts on an empty folder, and a consumer is there already."""
        self.world = World(self._time, self._folder, drift=drift, proves_directly=proves_directly)
        self.laws = Laws(self.world.deeds)
        self._time.run(self.world.begin())
        self._do(self.world.ask(self.world.open(**first, **_ANY), None), timedelta(seconds=5))

    @rule(
        request=requests,
        offer=st.one_of(st.none(), picks),
        luck=_OF_LAUNCHES,
        patience=patiences,
        then=spans,
    )
    def open(
        self,
        request: dict[str, Any],
        offer: int | None,
        luck: Luck,
        patience: timedelta | None,
        then: timedelta,
    ) -> None:
        """A consumer rents a machine: this one, or any that fits."""
        named: dict[str, Any] = _ANY
        if offer is not None:
            listed = self._broker.parts.tools.inventory.listed()
            if not listed:
                return
            named = {"offer_id": listed[offer % len(listed)].id}
        self._meet(luck)
        self._do(self.world.ask(self.world.open(**request | named), patience), then)

    @rule(request=requests, luck=_OF_LAUNCHES, patience=patiences, then=spans)
    def open_with_key(
        self, request: dict[str, Any], luck: Luck, patience: timedelta | None, then: timedelta
    ) -> None:
        """A consumer rents a machine, and may repeat the request."""
        key = f"key-{len(self._keyed)}"
        self._keyed.append((key, request | _ANY | {"consumer_id": key}))
        self._meet(luck)
        self._do(self.world.ask(self.world.open(key, **self._keyed[-1][1]), patience), then)

    @rule(which=picks, patience=patiences)
    def repeat(self, which: int, patience: timedelta | None) -> None:
        """A consumer asks again, because no answer came."""
        if self._keyed:
            key, request = self._keyed[-1 - which % len(self._keyed)]
            self._do(self.world.ask(self.world.open(key, **request), patience))

    @rule(which=picks, then=spans)
    def hang_up(self, which: int, then: timedelta) -> None:
        """A consumer does not wait any longer."""
        if waiting := self.world.requests:
            waiting[which % len(waiting)].cancel()
            self._do(self.world.pass_by(then))

    @rule(which=picks, minutes=st.sampled_from([1, 5, 15]), luck=_OF_LISTS, then=spans)
    def extend(self, which: int, minutes: int, luck: Luck, then: timedelta) -> None:
        """A consumer needs more time."""
        if session := self._session(which):
            self._meet(luck)
            by = timedelta(minutes=minutes)
            self._do(self.world.ask(self.world.extend(session, by), None), then)

    @rule(which=picks, is_done=st.booleans(), luck=_OF_ENDS, patience=patiences, then=spans)
    def end(
        self,
        which: int,
        is_done: bool,
        luck: Luck,
        patience: timedelta | None,
        then: timedelta,
    ) -> None:
        """A consumer needs no more time."""
        if session := self._session(which):
            self._meet(luck)
            request = self.world.done if is_done else self.world.delete
            self._do(self.world.ask(request(session), patience), then)

    @rule(which=picks, idle=seconds(0, 600), load=st.sampled_from([0.0, 90.0]))
    def heartbeat(self, which: int, idle: timedelta, load: float) -> None:
        """A machine tells that it works, or that it does not."""
        if session := self._session(which):
            word = self._broker.parts.idle.heartbeat(session.id, None, load, idle)
            self._do(self.world.ask(word, None))

    @rule(luck=lucks(*Operation), downtime=downtimes, then=spans)
    def tempt(self, luck: Luck, downtime: timedelta, then: timedelta) -> None:
        """Something will go wrong, or the broker will die, and be dead for so long."""
        self._downtime = downtime
        self._meet(luck)
        self._do(self.world.pass_by(then))

    @rule(then=spans)
    def outage(self, then: timedelta) -> None:
        """The marketplace is down for a while, or until something ends that."""
        for fault in OUTAGE:
            self.world.whims.faults.add(fault)
        self._do(self.world.pass_by(then))

    @rule(then=spans)
    def recover(self, then: timedelta) -> None:
        """The marketplace is well again."""
        self.world.whims.end()
        self._do(self.world.pass_by(then))

    @rule(times=st.integers(1, 6), which=st.one_of(st.none(), picks), then=spans)
    def lie(self, times: int, which: int | None, then: timedelta) -> None:
        """Some lists are without a machine, or without any."""
        self.world.whims.lie(times, which, self.world.now)
        self._do(self.world.pass_by(then))

    @rule(which=picks, then=spans)
    def delete_by_hand(self, which: int, then: timedelta) -> None:
        """Somebody destroys a machine in the marketplace's own console."""
        alive = [one for one in self.world.account.machines() if one.is_listed(self.world.now)]
        if alive:
            machine = alive[which % len(alive)]
            self.world.account.destroy(machine)
            self.world.deeds.by_hand.setdefault(machine.id, self.world.now)
            self._do(self.world.pass_by(then))

    @rule(label=st.sampled_from(["", "my-own", "gpub-other-aaaaaaaaaaaa-29540221-1"]))
    def rent_by_hand(self, label: str) -> None:
        """Somebody else rents a machine with the same account."""
        self.world.account.rent(label)

    @rule(which=st.one_of(st.none(), picks))
    def duplicate(self, which: int | None) -> None:
        """The marketplace makes a second machine for a label, or one that nobody knows of."""
        scene = self._look()
        labels = [one.launch.label for one in scene.ours]
        label = f"gpub-{scene.deployment}-aaaaaaaaaaaa-29540221-1"
        if which is not None and labels:
            label = labels[which % len(labels)]
        self.world.deeds.planted.add(self.world.account.rent(label).id)

    @rule(span=seconds(-60, -5, 5, 60))
    def jump(self, span: timedelta) -> None:
        """Somebody sets the clock."""
        self._time.jump(seconds=span.total_seconds())
        self.world.deeds.jumped += abs(span)

    @rule(downtime=downtimes)
    def restart(self, downtime: timedelta) -> None:
        """The broker is stopped, and started again later."""

        async def story() -> None:
            await self.world.stop()
            await self.world.time.pass_by(seconds=downtime.total_seconds())
            await self.world.begin()

        self.world.step_begins()
        self.world.disturb()
        self._time.run(story())
        self._finish()

    @invariant()
    def everything_is_lawful(self) -> None:
        """After every step."""
        if hasattr(self, "world"):
            self.laws.judge(self._look(), self.world.calm_since)

    def teardown(self) -> None:
        """After all: misfortunes and leases are over, and so is everything else."""
        try:
            if hasattr(self, "world"):
                self._end_well()
        finally:
            self._time.__exit__(None, None, None)
            shutil.rmtree(self._folder, ignore_errors=True)
            gc.collect()  # what the dead have left is told of here, and not in another test

    def _end_well(self) -> None:
        try:
            self._calm()
            self._do(self.world.pass_by(_QUIET))
            self.everything_is_lawful()
            self._do(self.world.pass_by(self._longest_lease() + TO_MISS))
            self.everything_is_lawful()
            scene = self._look()
            assert [one for one in scene.overviews if not one.session.is_final] == []
            assert [one for one in scene.ours if one.gone_at is None] == []
        finally:
            self._time.run(self.world.stop())
            self.world.close()

    def _longest_lease(self) -> timedelta:
        """What is left of it."""
        scene = self._look()
        sessions = [one.session for one in scene.overviews if scene.is_wanted(one.session)]
        return max((one.expires_at - scene.wall_now for one in sessions), default=timedelta())

    def _calm(self) -> None:
        self.world.whims.end()
        self.world.doom.plan(None)

    @property
    def _broker(self) -> Any:
        return self.world.broker

    def _session(self, which: int) -> Session | None:
        """One of the sessions that there are; those that are not over first, the youngest first."""
        seen = [one.session for one in reversed(self._look().overviews)]
        sessions = sorted(seen, key=lambda one: one.is_final)
        return sessions[which % len(sessions)] if sessions else None

    def _meet(self, luck: Luck) -> None:
        if isinstance(luck, Fault):
            self.world.whims.faults.add(luck)
        elif luck is not None:
            self.world.doom.plan(luck)

    def _look(self) -> Scene:
        return self._time.run(look(self.world))

    def _do(self, deed: Coroutine[Any, Any, None], then: timedelta = timedelta()) -> None:
        """Let it happen, and whatever follows from it within some time."""
        self.world.step_begins()
        self._time.run(deed)
        if then and not self.world.is_dead:
            self._time.run(self.world.pass_by(then))
        self._finish()

    def _finish(self) -> None:
        self._time.run(self.world.ensure(self._downtime))
        self.world.step_ends()


def _fastest() -> str | None:
    """The folder for files that no power loss has to spare."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
