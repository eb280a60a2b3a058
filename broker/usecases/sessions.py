"""What consumers ask of their sessions: look, extend, end."""

from __future__ import annotations

from datetime import datetime, timedelta

from broker.decide import lease, moves
from broker.decide.funds import check_purse
from broker.decide.money import price_of
from broker.errors import Conflict, Detail, InsufficientFunds, ValidationFailed
from broker.model import Attempt, Change, Overview, Reason, Session, Wanted
from broker.usecases.idempotency import Turn
from broker.usecases.launch import Tools
from broker.usecases.workers import Workers

DELETE_PATIENCE = 30.0
"""Seconds that a deletion waits for the proof before it answers."""


class Sessions:
    """The use-cases of recorded sessions."""

    def __init__(self, tools: Tools, workers: Workers) -> None:
        self._tools = tools
        self._workers = workers

    async def get(self, session_id: str) -> Session:
        """One session; raises NotFound."""
        session, _ = await self._tools.journal.read(session_id)
        return session

    async def overview(self, session_id: str) -> Overview:
        """One session with everything that was tried and billed for it; raises NotFound."""
        return await self._tools.journal.overview(session_id)

    async def done(self, session_id: str) -> None:
        """The consumer's work is complete; raises Conflict where the session has ended."""
        session = await self._end(session_id, Reason.DONE)
        if session.is_final:
            raise Conflict(f"The session is {session.status} already.")

    async def delete(self, session_id: str) -> Session:
        """End a session now; returns it when its end is proved, or after `DELETE_PATIENCE`."""
        with self._tools.journal.watch(session_id) as changes:
            session = await self._end(session_id, Reason.DELETED)
            if not session.is_final:
                await changes.until(lambda change: change.session.is_final, DELETE_PATIENCE)
        return await self.get(session_id)

    async def _end(self, session_id: str, reason: Reason) -> Session:
        """Write the intent, unless it is written already."""
        now = self._tools.now()
        session = await self._tools.journal.apply(
            session_id, lambda s, _: moves.end(s, reason, now, now) if _is_wanted(s) else None
        )
        if not session.is_final:
            self._workers.wake(session_id)
        return session

    async def extend(self, session_id: str, by: timedelta, field: str, turn: Turn) -> datetime:
        """Move the end, and return it.

        Raises HardMaxExceeded, Conflict where it is ending, InsufficientFunds where the account
        cannot pay for it.

        `field` is the one that says by how much. `turn` is that of the request: what it asked for
        before is not done again.
        """
        if turn.carried_out is not None:
            return datetime.fromisoformat(turn.carried_out.answer["expires_at"])

        def decide(session: Session, _: Attempt) -> Change:
            if not _is_wanted(session):
                raise Conflict(f"The session is {session.status}: it cannot be extended.")
            longest = session.offer.max_duration
            expires_at = lease.extend(session, by, field)
            if longest is not None and expires_at - session.created_at > longest:
                problem = f"the offer is there for {longest / timedelta(hours=1):g} h at most"
                raise ValidationFailed(
                    "The offer cannot be rented for that long.",
                    details=[Detail(field, problem)],
                )
            self._check_funds(session, by)
            now = self._tools.now()
            change = moves.extend(session, expires_at, now)
            return turn.sign(change, now, expires_at=expires_at.isoformat())

        try:
            return (await self._tools.journal.apply(session_id, decide)).expires_at
        except InsufficientFunds:
            if not await self._tools.funds.look_again():
                raise
        return (await self._tools.journal.apply(session_id, decide)).expires_at

    def _check_funds(self, session: Session, by: timedelta) -> None:
        provider = session.offer.provider
        cost = price_of(session.price_per_hour, by)
        what = f"to extend by {by / timedelta(hours=1):g} h"
        check_purse(self._tools.funds.purses().get(provider), provider, what, cost)


def _is_wanted(session: Session) -> bool:
    return session.wanted is Wanted.RUNNING
