"""A whole broker in simulated time: an hour passes in a second or two, and the clock may jump.

    SimulatedTime     a loop of asyncio whose clock jumps to the next timer as soon as nothing real
                      is under way, and a wall clock that follows it and can be set
    simulated_broker  `built` and `Daemon` with the simulated market, in that time
    SimulatedLogins   the way into its machines: what the market says they would answer

A test looks like this:

    def test_something(time: SimulatedTime, tmp_path: Path) -> None:
        async def story() -> None:
            async with simulated_broker(time, tmp_path) as broker:
                session = await broker.running()
                await time.pass_by(minutes=61)
                assert (await broker.session(session.id)).is_final

        time.run(story())

`run` may be called again and again: the time, and whatever runs in it, stands still in between.
A broker "crashes" where a test leaves it behind and begins another on the same folder.

What counts as real, and is waited for while the clock stands: everything in `run_in_executor` and
`to_thread` (the store's writer, the market's thread), and the queries of aiosqlite. Sockets on this
computer work as well, as long as both ends are in this loop. Other processes do not: what they do
takes no time that the clock knows of.
"""

from tests.simulated.broker import Simulated, simulated_broker
from tests.simulated.logins import SimulatedLogins
from tests.simulated.time import NothingIsComing, SimulatedTime

__all__ = ["NothingIsComing", "Simulated", "SimulatedLogins", "SimulatedTime", "simulated_broker"]
