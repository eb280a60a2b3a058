"""Watching whether machines are at work: over the broker's own key, and by heartbeats."""

from __future__ import annotations

import asyncio
import hmac
import logging
from datetime import datetime, timedelta

from broker.decide import lease, moves
from broker.decide.idle import IdleState, Reading, Source, observe, probe_interval, verdict
from broker.decide.jumps import Jump
from broker.errors import BrokerError
from broker.model import Attempt, Change, Session, Status, Wanted, Watch
from broker.ssh.errors import SshError
from broker.ssh.probe import IDLE_COMMAND, parse_idle
from broker.usecases.keys import digest
from broker.usecases.launch import Tools
from broker.usecases.managed import ManagedAccess
from broker.usecases.workers import Workers

log = logging.getLogger(__name__)

_GAP = 3
"""So many intervals without a reading, and what was read before counts no more."""


class WrongToken(BrokerError):
    """The session token is wrong."""

    status = 401
    code = "authentication_failed"


class IdleWatch:
    """The readings of every session that is to end when idle."""

    def __init__(self, tools: Tools, workers: Workers, access: ManagedAccess) -> None:
        self._tools = tools
        tools.clock.listen(self)
        self._workers = workers
        self._access = access
        self._states: dict[str, IdleState] = {}
        self._next_probe: dict[str, datetime] = {}
        self._reported: dict[str, datetime | None] = {}
        """Session -> since when it was idle, as the last verdict said."""
        self._kept: set[str] = set()
        """Sessions that are idle, and that an operator keeps."""

    def clock_jumped(self, _jump: Jump, _now: datetime) -> None:
        """A clock tells of every jump: since then nobody knows for how long a machine was idle."""
        self._states.clear()
        self._next_probe.clear()
        self._reported.clear()
        self._kept.clear()

    async def probe(self, watches: list[Watch]) -> None:
        """Take a reading of every machine whose turn it is."""
        now = self._tools.now()
        watched = [watch for watch in watches if _is_watched(watch)]
        for forgotten in self._states.keys() - {watch.id for watch in watched}:
            self._states.pop(forgotten)
            self._next_probe.pop(forgotten, None)
            self._reported.pop(forgotten, None)
            self._kept.discard(forgotten)
        due = [watch for watch in watched if self._is_due(watch, now)]
        await asyncio.gather(*(self._probe(watch.id) for watch in due))

    def _is_due(self, watch: Watch, now: datetime) -> bool:
        return watch.managed_access and self._next_probe.get(watch.id, now) <= now

    async def _probe(self, session_id: str) -> None:
        session, attempt = await self._tools.journal.read(session_id)
        if session.status is not Status.RUNNING:
            return
        self._next_probe[session_id] = self._tools.now() + self._interval(session)
        await self._observe(session, await self._read(session, attempt))

    async def _read(self, session: Session, attempt: Attempt) -> Reading:
        """What the machine shows; a machine that cannot be asked gives an unknown reading."""
        endpoint = session.access.ssh
        if endpoint is None:
            return Reading(self._tools.now(), Source.PROBE)
        try:
            result = await self._access.run(session, attempt, endpoint, IDLE_COMMAND)
        except SshError as error:
            log.info("No idle reading: %s", error, extra={"session_id": session.id})
            return Reading(self._tools.now(), Source.PROBE)
        seen = parse_idle(result)
        return Reading(self._tools.now(), Source.PROBE, seen.gpu_util, seen.users)

    async def heartbeat(
        self,
        session_id: str,
        token: str | None,
        gpu_util: float | None,
        idle_for: timedelta | None,
    ) -> Session:
        """A word from inside the machine; raises NotFound and WrongToken."""
        session, _ = await self._tools.journal.read(session_id)
        if token is not None and not hmac.compare_digest(digest(token), session.token_digest):
            raise WrongToken
        if session.status is not Status.RUNNING:
            return session
        reading = Reading(self._tools.now(), Source.HEARTBEAT, gpu_util=gpu_util, idle_for=idle_for)
        return await self._observe(session, reading)

    async def _observe(self, session: Session, reading: Reading) -> Session:
        before = self._states.get(session.id, IdleState())
        state = observe(before, reading, longest_gap=self._interval(session) * _GAP)
        self._states[session.id] = state
        now = reading.at
        if state.since != session.idle_since:
            session = await self._tools.journal.apply(
                session.id,
                lambda s, _: moves.mark_idle(s, state.since, now) if _is_wanted(s) else None,
            )
        threshold = session.request.idle_threshold
        if threshold is not None and _is_wanted(session):
            await self._judge(session, state, threshold, now)
        return session

    async def _judge(
        self, session: Session, state: IdleState, threshold: timedelta, now: datetime
    ) -> None:
        judged = verdict(state, threshold, now)
        if not judged.is_idle:
            self._kept.discard(session.id)
        if not judged.is_idle or self._reported.get(session.id) == judged.since:
            return
        evidence = {"idle_since": judged.since, "readings": judged.evidence}
        is_ending = self._tools.rules.ends_idle
        is_late = session.id in self._kept
        due_at = now if is_late else (judged.since or now) + threshold

        def decide(current: Session, _: Attempt) -> Change | None:
            if not _is_wanted(current) or self._is_kept(current, now):
                return None
            return moves.reap_idle(current, evidence, due_at, now, is_ending=is_ending)

        if self._is_kept(await self._tools.journal.apply(session.id, decide), now):
            self._kept.add(session.id)  # judged again at the next reading
            return
        self._reported[session.id] = judged.since
        if is_ending:
            self._workers.wake(session.id)

    def _is_kept(self, session: Session, now: datetime) -> bool:
        """Whether the verdict has to wait for the end of a hold."""
        return self._tools.rules.ends_idle and lease.is_kept(session, now)

    def _interval(self, session: Session) -> timedelta:
        threshold = session.request.idle_threshold or timedelta(minutes=10)
        return probe_interval(threshold, self._tools.rules.check_interval)


def _is_wanted(session: Session) -> bool:
    return session.wanted is Wanted.RUNNING


def _is_watched(watch: Watch) -> bool:
    return (
        watch.status is Status.RUNNING
        and watch.wanted is Wanted.RUNNING
        and watch.idle_threshold is not None
    )
