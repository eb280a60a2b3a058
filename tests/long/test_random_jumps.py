"""Clocks that jump at random while sessions come, meet misfortunes and go."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from broker.decide.receipts import receipt_of
from broker.errors import BrokerError
from broker.model import Reason
from tests.simulated import Simulated, SimulatedTime, simulated_broker

STEPS = 40
MOST_SESSIONS = 14
MISFORTUNES: tuple[dict[str, Any] | None, ...] = (
    None,
    {"fault": "slow", "operation": "boot", "delay": "6m"},
    {"fault": "key_late", "operation": "ssh", "delay": "3m"},
    {"fault": "late_effect", "operation": "create", "delay": "1500ms"},
    {"fault": "reply_lost", "operation": "create"},
    {"fault": "error", "operation": "list"},
    {"fault": "error", "operation": "destroy"},
    {"fault": "reply_lost", "operation": "destroy"},
)
"""Each passes by itself: none is a reason to end anything."""
JUMPS = (2, 30, 300, 3600, 7200, 20_000)
MISBILLED = timedelta(seconds=2.5)
"""A second, and the longest that a creation takes here to have its effect: the clocks of the broker
and its market differ, and a machine that is found later is dated by the call for it."""
PAUSES = (0.2, 1, 3, 20, 90, 600)


class Life:
    """What happens to one broker, in the order in which a seed lets it happen."""

    def __init__(self, broker: Simulated, seed: int) -> None:
        self.broker = broker
        self.chance = Random(seed)
        self.ids: list[str] = []

    async def goes_on(self) -> None:
        """One step: a session more, a jump of the clock, an end, or nothing but time."""
        what = self.chance.random()
        if what < 0.35 and len(self.ids) < MOST_SESSIONS:
            await self.rent()
        elif what < 0.6:
            self.broker.time.jump(seconds=self.chance.choice((-1, 1)) * self.chance.choice(JUMPS))
        elif what < 0.7 and self.ids:
            await self.end(self.chance.choice(self.ids))
        await self.broker.time.pass_by(seconds=self.chance.choice(PAUSES))

    async def rent(self) -> None:
        """One session more, perhaps with a misfortune."""
        if misfortune := self.chance.choice(MISFORTUNES):
            self.broker.fault(**misfortune)
        reservation = timedelta(minutes=self.chance.choice((20, 60, 240)))
        session = await self.broker.open(consumer_id=f"c{len(self.ids)}", reservation=reservation)
        self.ids.append(session.id)

    async def end(self, session_id: str) -> None:
        """A consumer is done, unless the session is over."""
        try:
            await self.broker.parts.sessions.done(session_id)
        except BrokerError:
            return

    async def comes_to_its_end(self) -> None:
        """All reservations pass, by the clock that was promised by."""
        ends = [(await self.broker.session(one)).expires_at for one in self.ids]
        left = max(ends) - self.broker.time.now()
        await self.broker.time.pass_by(seconds=max(left.total_seconds(), 0.0) + 900)

    async def longest_misbilling(self) -> timedelta:
        """By how much the billed time of a machine differs from how long it was there."""
        now = self.broker.time.now()
        lived = {b.label: b.ends_at - b.begins_at for b in await self.broker.bills() if b.ends_at}
        overviews = [await self.broker.parts.sessions.overview(one) for one in self.ids]
        machines = [one for overview in overviews for one in receipt_of(overview, now).machines]
        return max(abs(one.billed_for - lived[one.attempt.label]) for one in machines)


@pytest.mark.parametrize("seed", range(4))
def test_jumps_end_nothing_and_keep_nothing(seed: int, tmp_path: Path) -> None:
    """Sessions end for the reasons that consumers know, with their machines, which are billed."""

    async def story(time: SimulatedTime) -> None:
        async with simulated_broker(time, tmp_path) as broker:
            life = Life(broker, seed)
            await life.rent()
            for _ in range(STEPS):
                await life.goes_on()
            await life.comes_to_its_end()
            for session_id in life.ids:
                session = await broker.session(session_id)
                assert session.is_final
                assert session.reason in {Reason.EXPIRED, Reason.DONE}, session.error
            assert [] == await broker.alive()
            assert await life.longest_misbilling() <= MISBILLED
            assert {1} == set(Counter(bill.label for bill in await broker.bills()).values())
            assert [] == broker.daemon.troubles

    with SimulatedTime() as time:
        time.run(story(time))
