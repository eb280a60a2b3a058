"""The wall clock jumps: no session ends for that alone, none lives on for ever, and it is told."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TypeAlias

import pytest

from broker.decide.money import cost
from broker.decide.receipts import receipt_of
from broker.effects import Effect
from broker.model import Change, Reason, Session, Status
from providers.base import LaunchSpec
from providers.label import Label
from tests.simulated import Simulated, SimulatedTime, simulated_broker

LONG = timedelta(hours=12)
SECOND = timedelta(seconds=1)
SECOND_COSTS = Decimal("0.0002")
"""USD of a machine that is rented here, and a little more."""
FORTH_AND_BACK = pytest.mark.parametrize("hours", [2, -2])

Story: TypeAlias = Callable[[Simulated], Awaitable[None]]
Tell: TypeAlias = Callable[..., None]


@pytest.fixture
def tell(time: SimulatedTime, tmp_path: Path) -> Tell:
    """Let a story happen with a broker that has these settings."""

    async def happen(story: Story, settings: dict[str, str]) -> None:
        async with simulated_broker(time, tmp_path, **settings) as broker:
            await story(broker)

    return lambda story, **settings: time.run(happen(story, settings))


async def ended(broker: Simulated, session: Session) -> tuple[Session, datetime]:
    """The session when it is over, and the true instant at which it was."""
    over = await broker.until(session.id, Status.STOPPED, Status.FAILED, hours=13)
    return over, broker.time.true_now()


@pytest.mark.parametrize("minutes", [10, -10, 50])
def test_an_end_is_acted_on_when_the_wall_clock_says_so(
    time: SimulatedTime, tell: Tell, minutes: int
) -> None:
    """The waiting begins anew with the jump; the end is neither missed nor hastened beyond it."""

    async def story(broker: Simulated) -> None:
        session = await broker.running()
        await time.pass_by(minutes=30)
        time.jump(minutes=minutes)
        jumped_at = time.true_now()
        over, over_at = await ended(broker, session)
        assert (Status.STOPPED, Reason.EXPIRED) == (over.status, over.reason)
        left = max(session.expires_at - timedelta(minutes=minutes), jumped_at)
        assert timedelta() <= over_at - left <= timedelta(seconds=2)

    tell(story)


@FORTH_AND_BACK
def test_a_jump_is_noticed_within_a_second_and_told(
    time: SimulatedTime, tell: Tell, hours: int, caplog: pytest.LogCaptureFixture
) -> None:
    """An event says by how much, the log warns, a metric counts."""
    caplog.set_level(logging.WARNING, logger="broker.app.timers")

    async def story(broker: Simulated) -> None:
        await time.pass_by(minutes=5)
        assert [] == [e for e in await broker.events() if e.type == "clock.jumped"]
        time.jump(hours=hours)
        jumped_at = time.now()
        await time.pass_by(seconds=1.1)
        (event,) = [e for e in await broker.events() if e.type == "clock.jumped"]
        assert abs(event.data["by_seconds"] - hours * 3600) < 1
        assert timedelta() <= event.created_at - jumped_at <= timedelta(seconds=1)
        assert 1 == broker.parts.metrics.registry.get_sample_value("gpu_clock_jumps_total")
        assert f"The wall clock has jumped by {hours * 3600:+}.0 s." in caplog.messages

    tell(story)


@FORTH_AND_BACK
def test_the_safety_net_goes_on(time: SimulatedTime, tell: Tell, hours: int) -> None:
    """Sweeps, lists and readings of the market come at their intervals, whatever the clock says."""

    async def story(broker: Simulated) -> None:
        def calls(operation: str) -> float:
            labels = {"provider": "simulator", "operation": operation}
            name = "gpu_provider_request_duration_seconds_count"
            return broker.parts.metrics.registry.get_sample_value(name, labels) or 0.0

        operations = ("list_instances", "list_offers")
        await time.pass_by(minutes=5)
        time.jump(hours=hours)
        before = [calls(operation) for operation in operations]
        await time.pass_by(minutes=10)
        for operation, count in zip(operations, before, strict=True):
            assert 9 <= calls(operation) - count <= 12, operation
        assert broker.daemon.troubles == []
        assert await broker.open()

    tell(story)


@FORTH_AND_BACK
def test_a_machine_that_boots_keeps_its_time(time: SimulatedTime, tell: Tell, hours: int) -> None:
    """The deadline of an attempt is neither over at once nor put off."""

    async def story(broker: Simulated) -> None:
        broker.fault("slow", "boot", delay="5m")
        slow = await broker.open(reservation=LONG, consumer_id="slow")
        broker.fault("never_boots", "boot")
        never = await broker.open(reservation=LONG, consumer_id="never")
        await time.pass_by(minutes=1)
        time.jump(hours=hours)
        await time.pass_by(minutes=5)
        assert Status.RUNNING == (await broker.session(slow.id)).status
        assert Status.PROVISIONING == (await broker.session(never.id)).status
        await time.pass_by(minutes=10)
        failed = await broker.session(never.id)
        assert (Status.FAILED, Reason.BOOT_TIMEOUT) == (failed.status, failed.reason)

    tell(story, ssh__verify_timeout="15m")


@FORTH_AND_BACK
def test_a_machine_that_is_down_keeps_its_time(time: SimulatedTime, tell: Tell, hours: int) -> None:
    """The session is lost when its machine was down for `lost_after`, and not before."""

    async def story(broker: Simulated) -> None:
        broker.fault("dies", "boot", delay="10m")
        session = await broker.running(reservation=LONG)
        while (await broker.session(session.id)).lost_since is None:
            await time.pass_by(seconds=1)
        seen_at = time.true_now()
        time.jump(hours=hours)
        over, over_at = await ended(broker, session)
        assert (Status.FAILED, Reason.INSTANCE_LOST) == (over.status, over.reason)
        down_for = over_at - seen_at
        assert timedelta(minutes=5, seconds=-2) <= down_for <= timedelta(minutes=6, seconds=2)

    tell(story, lifecycle__lost_after="5m")


@FORTH_AND_BACK
def test_a_machine_that_disappears_ends_its_session(
    time: SimulatedTime, tell: Tell, hours: int
) -> None:
    """A machine whose records are younger than the clock is missed all the same."""

    async def story(broker: Simulated) -> None:
        session = await broker.running(reservation=LONG)
        time.jump(hours=hours)
        await time.pass_by(minutes=5)
        assert Status.RUNNING == (await broker.session(session.id)).status
        await broker.market.destroy(session.instance_id or "")
        gone_at = time.true_now()
        over, over_at = await ended(broker, session)
        assert (Status.FAILED, Reason.INSTANCE_LOST) == (over.status, over.reason)
        assert over_at - gone_at <= timedelta(minutes=3)

    tell(story)


@FORTH_AND_BACK
def test_idleness_is_measured_anew(time: SimulatedTime, tell: Tell, hours: int) -> None:
    """Nobody is idle for the length of a jump, and nobody is watched no more."""

    async def story(broker: Simulated) -> None:
        threshold = timedelta(minutes=10)
        session = await broker.running(reservation=LONG, idle_threshold=threshold)
        await time.pass_by(minutes=5)
        time.jump(hours=hours)
        jumped_at = time.true_now()
        over, over_at = await ended(broker, session)
        assert (Status.STOPPED, Reason.IDLE) == (over.status, over.reason)
        assert threshold <= over_at - jumped_at <= threshold + timedelta(minutes=3)

    tell(story)


@FORTH_AND_BACK
def test_an_orphan_keeps_its_grace(time: SimulatedTime, tell: Tell, hours: int) -> None:
    """It is destroyed within the grace and one reconciliation of being seen, and not before."""

    async def story(broker: Simulated) -> None:
        deployment = broker.parts.tools.rules.deployment
        label = Label(deployment, "sess-aaaaaaaaaaaa", time.now() + timedelta(hours=13), 1)
        offers = (await broker.market.list_offers()).offers
        await broker.market.create(LaunchSpec(offers[-1], str(label), ()))
        while "orphan.detected" not in {event.type for event in await broker.events()}:
            await time.pass_by(seconds=1)
        seen_at = time.true_now()
        time.jump(hours=hours)
        while await broker.alive():
            await time.pass_by(seconds=1)
        lived = time.true_now() - seen_at
        assert timedelta(minutes=5, seconds=-2) <= lived <= timedelta(minutes=6, seconds=2)

    tell(story)


@FORTH_AND_BACK
def test_a_machine_whose_creation_was_not_answered_is_looked_for_as_long(
    time: SimulatedTime, tell: Tell, hours: int
) -> None:
    """Neither is it given up before it can be seen, nor looked for until the clock catches up."""

    async def story(broker: Simulated) -> None:
        broker.fault("late_effect", "create", delay="1.5s")
        late = await broker.open(reservation=LONG, consumer_id="late")
        broker.fault("late_effect", "create", delay="3h")
        never = await broker.open(reservation=LONG, consumer_id="never")
        time.jump(hours=hours)
        await time.pass_by(seconds=30)
        assert Status.RUNNING == (await broker.session(late.id)).status
        failed = await broker.session(never.id)
        assert (Status.FAILED, Reason.OUTCOME_UNKNOWN) == (failed.status, failed.reason)

    tell(story)


@FORTH_AND_BACK
def test_offers_that_were_just_read_stay_fresh(time: SimulatedTime, tell: Tell, hours: int) -> None:
    """They are shown with the age that they have."""

    async def story(broker: Simulated) -> None:
        inventory = broker.parts.tools.inventory
        await time.pass_by(minutes=2, seconds=30)
        before = inventory.readings()["simulator"]
        time.jump(hours=hours)
        after = inventory.readings()["simulator"]
        assert after.is_ok
        assert before.age is not None
        assert before.age == after.age
        assert after.offers == before.offers > 0

    tell(story)


async def billed(broker: Simulated, session: Session) -> tuple[Decimal, Decimal]:
    """What the broker and its market say that an ended session has cost, in this order.

    All that the broker says agrees, to the second with how long the machine was there.
    """
    tools = broker.parts.tools
    overview = await broker.parts.sessions.overview(session.id)
    receipt = receipt_of(overview, tools.now())
    bills = {bill.label: bill for bill in await broker.bills()}
    for machine in receipt.machines:
        bill = bills[machine.attempt.label]
        assert bill.ends_at is not None
        assert abs(machine.billed_for - (bill.ends_at - bill.begins_at)) <= SECOND
    accrued = broker.parts.metrics.spending.until(tools.now())["simulator"]
    known = await tools.store.accruals()
    assert accrued == sum(cost(accrual, tools.now() + 2 * LONG) for accrual in known)
    return receipt.billed, sum((bill.billed for bill in bills.values()), Decimal(0))


@FORTH_AND_BACK
def test_a_machine_costs_what_it_ran(time: SimulatedTime, tell: Tell, hours: int) -> None:
    """To the second, while it runs and when it is gone, however often the clock jumped."""

    async def story(broker: Simulated) -> None:
        session = await broker.running(reservation=LONG)
        for minutes in (10, 20):
            await time.pass_by(minutes=minutes)
            time.jump(hours=hours)
            await time.pass_by(seconds=1.1)
        up_for = time.true_now() - (await broker.bills())[0].begins_at
        price = session.price_per_hour * Decimal(up_for / timedelta(hours=1))
        (accrual,) = await broker.parts.tools.store.accruals()
        assert abs(cost(accrual, time.now()) - price) <= SECOND_COSTS
        await time.pass_by(minutes=30)
        await broker.parts.sessions.done(session.id)
        over, _ = await ended(broker, session)
        said, true = await billed(broker, over)
        assert abs(said - true) <= SECOND_COSTS

    tell(story)


@FORTH_AND_BACK
@pytest.mark.parametrize("after", [None, 0.5, 2.0])
def test_a_machine_costs_what_it_ran_though_the_clock_jumps_while_it_is_destroyed(
    time: SimulatedTime, tell: Tell, hours: int, after: float | None
) -> None:
    """Before anybody has noticed the jump, between the calls, and between the observations."""

    async def story(broker: Simulated) -> None:
        session = await broker.running(reservation=LONG)
        await time.pass_by(minutes=10)
        broker.fault("error", "destroy", times=2)
        if after is None:
            time.jump(hours=hours)
        await broker.parts.sessions.done(session.id)
        if after is not None:
            await time.pass_by(seconds=after)
            time.jump(hours=hours)
        over, _ = await ended(broker, session)
        said, true = await billed(broker, over)
        assert abs(said - true) <= SECOND_COSTS

    tell(story)


class JumpsAfter:
    """Sets the clock as soon as an effect is written, once."""

    def __init__(self, time: SimulatedTime, effect: Effect, hours: int) -> None:
        self._time, self._effect, self._hours = time, effect, hours
        self.has_jumped = False

    def session_changed(self, change: Change, _: Session) -> None:
        """A journal tells of every change."""
        if change.name is self._effect and not self.has_jumped:
            self.has_jumped = True
            self._time.jump(hours=self._hours)


@FORTH_AND_BACK
@pytest.mark.parametrize(
    "effect",
    [
        Effect.RECORD,
        Effect.LAUNCH,
        Effect.ACCEPT,
        Effect.LOCATE,
        Effect.VERIFY,
        Effect.END,
        Effect.ASK_TO_DESTROY,
        Effect.DESTROYING,
        Effect.DESTROY_FAILS,
    ],
)
def test_a_clock_that_jumps_at_any_moment_ends_nothing_and_makes_nothing_dear(
    time: SimulatedTime, tell: Tell, hours: int, effect: Effect
) -> None:
    """Whatever was written the moment before: its machine comes up, and costs what it ran."""

    async def story(broker: Simulated) -> None:
        jumps = JumpsAfter(time, effect, hours)
        broker.parts.tools.journal.listen(jumps)
        session = await broker.running(reservation=LONG)
        await time.pass_by(minutes=10)
        broker.fault("error", "destroy")
        await broker.parts.sessions.done(session.id)
        over, _ = await ended(broker, session)
        assert jumps.has_jumped
        assert (Status.STOPPED, Reason.DONE) == (over.status, over.reason)
        said, true = await billed(broker, over)
        assert abs(said - true) <= SECOND_COSTS

    tell(story)
