"""One life of brokers and their sessions: whatever can happen in it, and a judgement after each."""

from __future__ import annotations

import gc
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeAlias

from broker.model import Criteria, Session
from providers.simulator.faults import Fault
from tests.lifecycle.laws import TO_LOSE, TO_MISS, TO_REAP, Laws
from tests.lifecycle.market import OUTAGE
from tests.lifecycle.proofs import Proofs
from tests.lifecycle.scene import Scene, look
from tests.lifecycle.world import VERIFY_TIMEOUT, World
from tests.simulated.dooms import Death
from tests.simulated.inline import InlineTime

P = ParamSpec("P")
Luck: TypeAlias = Sequence[Fault | Death]
"""What comes with a deed: nothing, misfortunes, the death of the broker."""

_QUIET = VERIFY_TIMEOUT + TO_REAP + TO_LOSE + TO_MISS
"""After so long without a misfortune, everything is in order."""
_ANY = {"offer_id": None, "criteria": Criteria(gpu_type="RTX 4090")}
_USUAL = {"reservation": timedelta(minutes=20)}
_NOW = timedelta()


def happening(
    deed: Callable[Concatenate[Course, P], None],
) -> Callable[Concatenate[Course, P], None]:
    """Something that can happen, after which all laws must hold.

    `luck` is what comes with it, `patience` how long a consumer waits for an answer (None: until it
    comes), `then` how much time passes afterwards; `which` is one of those that there are, as a
    number of any size.
    """

    @wraps(deed)
    def befall(course: Course, *args: P.args, **details: P.kwargs) -> None:
        deed(course, *args, **details)
        course.judge()

    return befall


class Course:
    """A life, from an empty folder to the end. Whoever begins one has to end it."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="gpu-broker-life-", dir=_fastest()))
        self._time = InlineTime()
        self._time.__enter__()
        self._keyed: list[tuple[str, dict[str, Any]]] = []
        self._downtime = timedelta()
        self._world: World | None = None

    @property
    def has_begun(self) -> bool:
        return self._world is not None

    @property
    def world(self) -> World:
        assert self._world is not None
        return self._world

    @happening
    def begin(self, *, drift: str = "0s", proves_directly: bool = True) -> None:
        """A broker starts on an empty folder."""
        self._world = World(self._time, self._folder, drift=drift, proves_directly=proves_directly)
        self._laws = Laws(self.world.deeds, Proofs(self.world.answers, proves_directly))
        self._time.run(self.world.begin())

    @happening
    def open(
        self,
        *,
        offer: int | None = None,
        luck: Luck = (),
        patience: timedelta | None = None,
        then: timedelta = _NOW,
        **request: Any,
    ) -> None:
        """A consumer rents a machine: this one, or any that fits."""
        named: dict[str, Any] = _ANY
        if offer is not None and (listed := self._broker.parts.tools.inventory.listed()):
            named = {"offer_id": listed[offer % len(listed)].id}
        self._meet(luck)
        self._do(self.world.ask(self.world.open(**_USUAL | request | named), patience), then)

    @happening
    def open_with_key(
        self,
        *,
        luck: Luck = (),
        patience: timedelta | None = None,
        then: timedelta = _NOW,
        **request: Any,
    ) -> None:
        """A consumer rents a machine, and may repeat the request."""
        key = f"key-{len(self._keyed)}"
        self._keyed.append((key, _USUAL | request | _ANY | {"consumer_id": key}))
        self._meet(luck)
        self._do(self.world.ask(self.world.open(key, **self._keyed[-1][1]), patience), then)

    @happening
    def repeat(self, *, which: int = 0, patience: timedelta | None = None) -> None:
        """A consumer asks again, because no answer came."""
        if self._keyed:
            key, request = self._keyed[-1 - which % len(self._keyed)]
            self._do(self.world.ask(self.world.open(key, **request), patience))

    @happening
    def hang_up(self, *, which: int = 0, then: timedelta = _NOW) -> None:
        """A consumer does not wait any longer."""
        if waiting := self.world.requests:
            waiting[which % len(waiting)].cancel()
        self._do(self.world.pass_by(then))

    @happening
    def extend(
        self, *, which: int = 0, minutes: int = 5, luck: Luck = (), then: timedelta = _NOW
    ) -> None:
        """A consumer needs more time."""
        if session := self._session(which):
            self._meet(luck)
            by = timedelta(minutes=minutes)
            self._do(self.world.ask(self.world.extend(session, by), None), then)

    @happening
    def end(
        self,
        *,
        which: int = 0,
        is_done: bool = True,
        luck: Luck = (),
        patience: timedelta | None = None,
        then: timedelta = _NOW,
    ) -> None:
        """A consumer needs no more time."""
        if session := self._session(which):
            self._meet(luck)
            request = self.world.done if is_done else self.world.delete
            self._do(self.world.ask(request(session), patience), then)

    @happening
    def heartbeat(self, *, which: int = 0, idle: timedelta = _NOW, load: float = 0.0) -> None:
        """A machine tells that it works, or that it does not."""
        if session := self._session(which):
            word = self._broker.parts.idle.heartbeat(session.id, None, load, idle)
            self._do(self.world.ask(word, None))

    @happening
    def tempt(self, *, luck: Luck, downtime: timedelta = _NOW, then: timedelta = _NOW) -> None:
        """Something will go wrong, or the broker will die, and be dead for so long."""
        self._downtime = downtime
        self._meet(luck)
        self._do(self.world.pass_by(then))

    @happening
    def outage(self, *, is_short: bool = False, then: timedelta = _NOW) -> None:
        """The marketplace is down: for so long, or until something ends that."""
        for fault in OUTAGE:
            self.world.whims.faults.add(fault)
        self._do(self.world.pass_by(then))
        if is_short:
            self.world.whims.end()

    @happening
    def recover(self, *, then: timedelta = _NOW) -> None:
        """The marketplace is well again."""
        self.world.whims.end()
        self._do(self.world.pass_by(then))

    @happening
    def lie(
        self,
        *,
        times: int = 1,
        which: int | None = None,
        denials: int = 0,
        then: timedelta = _NOW,
    ) -> None:
        """Some lists are without a machine, or without any; asked for it alone, there is none."""
        whims = self.world.whims
        whims.lies, whims.missing, whims.denials = times, which, denials
        self._do(self.world.pass_by(then))

    @happening
    def lag(self, *, times: int = 1, by: timedelta, then: timedelta = _NOW) -> None:
        """Some lists arrive late, and tell what was."""
        self.world.whims.lags, self.world.whims.lag = times, by
        self._do(self.world.pass_by(then))

    @happening
    def delete_by_hand(self, *, which: int = 0, then: timedelta = _NOW) -> None:
        """Somebody destroys a machine in the marketplace's own console."""
        alive = [one for one in self.world.account.machines() if one.is_listed(self.world.now)]
        if alive:
            machine = alive[which % len(alive)]
            self.world.account.destroy(machine)
            self.world.deeds.by_hand.setdefault(machine.id, self.world.now)
        self._do(self.world.pass_by(then))

    @happening
    def rent_by_hand(self, *, label: str) -> None:
        """Somebody else rents a machine with the same account."""
        self.world.account.rent(label)

    @happening
    def duplicate(self, *, which: int | None = None, then: timedelta = _NOW) -> None:
        """The marketplace makes a second machine for a label, or one that nobody knows of."""
        scene = self.look()
        labels = [one.launch.label for one in scene.ours]
        label = f"gpub-{scene.deployment}-aaaaaaaaaaaa-29540221-1"
        if which is not None and labels:
            label = labels[which % len(labels)]
        self.world.deeds.planted.add(self.world.account.rent(label).id)
        self._do(self.world.pass_by(then))

    @happening
    def jump(self, *, span: timedelta, then: timedelta = _NOW) -> None:
        """Somebody sets the clock."""
        self.world.jump(span)
        self._do(self.world.pass_by(then))

    @happening
    def restart(self, *, downtime: timedelta = _NOW) -> None:
        """The broker is stopped, and started again later."""

        async def story() -> None:
            await self.world.stop()
            await self.world.time.pass_by(seconds=downtime.total_seconds())
            await self.world.begin()

        self.world.step_begins()
        self.world.disturb()
        self._time.run(story())
        self._finish()

    @happening
    def pass_by(self, *, then: timedelta) -> None:
        """Nothing happens."""
        self._do(self.world.pass_by(then))

    def judge(self) -> None:
        """Raises Unlawful."""
        self._laws.judge(self.look(), self.world.calm_since)

    def end_well(self) -> None:
        """Misfortunes and leases are over, and so is everything else."""
        self.world.doom.plan(None)
        self.recover(then=_QUIET)
        self.pass_by(then=self._longest_lease() + TO_MISS)
        scene = self.look()
        assert [one for one in scene.overviews if not one.session.is_final] == []
        assert [one for one in scene.ours if one.gone_at is None] == []

    def close(self) -> None:
        """After all."""
        try:
            if self._world is not None:
                self._time.run(self._world.stop())
                self._world.close()
        finally:
            self._time.__exit__(None, None, None)
            shutil.rmtree(self._folder, ignore_errors=True)
            gc.collect()  # what the dead have left is told of here, and not in another test

    def _longest_lease(self) -> timedelta:
        """What is left of it."""
        scene = self.look()
        sessions = [one.session for one in scene.overviews if scene.is_wanted(one.session)]
        return max((one.expires_at - scene.wall_now for one in sessions), default=timedelta())

    @property
    def _broker(self) -> Any:
        return self.world.broker

    def _session(self, which: int) -> Session | None:
        """One of the sessions that there are; those that are not over first, the youngest first."""
        seen = [one.session for one in reversed(self.look().overviews)]
        sessions = sorted(seen, key=lambda one: one.is_final)
        return sessions[which % len(sessions)] if sessions else None

    def _meet(self, luck: Luck) -> None:
        for one in luck:
            if isinstance(one, Fault):
                self.world.whims.faults.add(one)
            else:
                self.world.doom.plan(one)

    def look(self) -> Scene:
        """What is to be seen now."""
        return self._time.run(look(self.world))

    def _do(self, deed: Coroutine[Any, Any, None], then: timedelta = _NOW) -> None:
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
