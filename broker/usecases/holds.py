"""What an operator asks of sessions: that the broker does not end them by itself."""

from __future__ import annotations

from datetime import timedelta

from broker.decide import hold
from broker.model import Attempt, Change, Session, Wanted
from broker.usecases.launch import Tools
from broker.usecases.workers import Workers


class Holds:
    """Holding sessions, and letting them go."""

    def __init__(self, tools: Tools, workers: Workers) -> None:
        self._tools = tools
        self._workers = workers

    async def hold(self, session_id: str, span: timedelta, field: str, reason: str) -> Session:
        """Keep a session for so long from now on, whatever its lease says.

        Raises NotFound, Conflict where it is ending, ValidationFailed, about `field`, where no
        machine may live for so long.
        """
        now = self._tools.now()

        def decide(session: Session, _: Attempt) -> Change:
            until = hold.hold_until(session, span, field, now)
            return hold.hold(session, until, reason, now)

        return await self._tools.journal.apply(session_id, decide)

    async def release(self, session_id: str) -> Session:
        """Let a session go: where its lease is over it ends now.

        Raises NotFound, and Conflict where it has ended.
        """
        now = self._tools.now()
        session = await self._tools.journal.apply(
            session_id, lambda session, _: hold.release(session, now)
        )
        if session.wanted is Wanted.GONE and not session.is_final:
            self._workers.wake(session_id)
        return session
