"""Moving the deadline of machines that end themselves, when their sessions are extended."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime

from broker.decide import upkeep
from broker.decide.watchdog import Told, deadline_of, has_to_be_told, has_watchdog, is_news
from broker.model import Change, Session
from broker.ssh.errors import SshError
from broker.ssh.watchdog import Written, deadline_command, parse_deadlines
from broker.usecases.launch import Tools
from broker.usecases.managed import ManagedAccess

log = logging.getLogger(__name__)


class Watchdogs:
    """The machines with a watchdog, and the deadlines that they are known to have.

    A process that starts knows none of them, and tells every machine its deadline again.
    """

    def __init__(self, tools: Tools, access: ManagedAccess) -> None:
        self._tools = tools
        self._access = access
        self._sessions: dict[str, Session] = {}
        self._told: dict[str, Told] = {}
        tools.journal.listen(self)

    def session_changed(self, _: Change, session: Session) -> None:
        """A journal tells of every change: of new deadlines, and of sessions that end."""
        if has_watchdog(session):
            self._sessions[session.id] = session
        else:
            self._sessions.pop(session.id, None)
            self._told.pop(session.id, None)

    async def resume(self) -> None:
        """Take up the sessions of an earlier process."""
        for session in await self._tools.store.sessions_with_watchdog():
            self._sessions.setdefault(session.id, session)

    async def ensure(self) -> None:
        """Tell every machine its deadline that is not known to have it."""
        now = self._tools.steady()
        due = [
            session.id
            for session in self._sessions.values()
            if has_to_be_told(session, self._told.get(session.id, Told()), now)
        ]
        await asyncio.gather(*map(self._tell, due))

    async def _tell(self, session_id: str) -> None:
        session, attempt = await self._tools.journal.read(session_id)
        endpoint = session.access.ssh
        if not has_watchdog(session):
            self._sessions.pop(session_id, None)
            return
        if endpoint is None:
            return
        deadline = deadline_of(session)
        try:
            result = await self._access.run(session, attempt, endpoint, deadline_command(deadline))
        except SshError as error:
            await self._note_failure(session, deadline, str(error))
            return
        written = parse_deadlines(result)
        if written.now != deadline:
            await self._note_failure(session, deadline, written.said)
            return
        await self._note_success(session, written, deadline)

    def _remember(self, session: Session, told: Told) -> None:
        """Unless the session has ended meanwhile."""
        if session.id in self._sessions:
            self._told[session.id] = told

    async def _note_success(self, session: Session, written: Written, deadline: datetime) -> None:
        now = self._tools.now()
        self._remember(session, Told(deadline, tried_at=self._tools.steady()))
        if written.before != deadline:
            await self._tools.journal.apply(
                session.id,
                lambda s, _: (
                    upkeep.note_watchdog(s, written.before, deadline, now)
                    if has_watchdog(s)
                    else None
                ),
            )

    async def _note_failure(self, session: Session, deadline: datetime, trouble: str) -> None:
        """Remember it, and shout now and then: the machine would end itself too early."""
        now, told = self._tools.now(), self._told.get(session.id, Told())
        failures = told.failures + 1
        self._remember(session, Told(told.deadline, failures, self._tools.steady()))
        if not is_news(failures):
            return
        detail = (
            f"The machine's watchdog cannot be told its deadline (tried {failures} times, and on): "
            f"{trouble}. If it stays so, the machine ends itself at the deadline that it has."
        )
        log.error("%s", detail, extra={"session_id": session.id, "action": "watchdog"})
        await self._tools.journal.apply(
            session.id,
            lambda s, _: (
                upkeep.watchdog_fails(s, deadline, detail, now) if has_watchdog(s) else None
            ),
        )
