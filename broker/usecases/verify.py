"""Proving that a machine is what was sold: from the provider's "running" to a proved access."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from broker.decide import moves
from broker.decide.boot import Wrong, judge_failure, judge_price, said_of
from broker.decide.money import shown
from broker.decide.pauses import growing
from broker.decide.proof import Verification, judge_gpus
from broker.effects import Effect
from broker.errors import StoreUnwritable
from broker.model import Access, Attempt, Change, Reason, Session, Wanted
from broker.ssh.connection import Logins, known_hosts_line
from broker.ssh.errors import HostKeyChanged, NotYet, NotYetReason
from broker.ssh.login import SshResult
from broker.ssh.probe import VERIFY_COMMAND, parse_verification
from broker.usecases.authorized import AuthorizedKeys
from broker.usecases.endpoint import answers_http, url
from broker.usecases.journal import Decision
from broker.usecases.launch import Tools
from broker.usecases.lookout import Lookout, Seen
from broker.usecases.workers import Effort
from providers.base import Endpoint, Instance, InstanceStatus, LaunchMode
from providers.errors import ProviderError

_LONGEST_TRY = timedelta(seconds=15)
_LONGEST_PAUSE = timedelta(seconds=10)
_SHORTEST_PAUSE = timedelta(milliseconds=10)
_LONGEST_LOOK = timedelta(seconds=3)
_GROWTH, _LOOK_GROWTH = 1.5, 1.1
_DOWN = frozenset({InstanceStatus.STOPPED, InstanceStatus.OFFLINE, InstanceStatus.ENDING})


@dataclass(frozen=True, slots=True)
class _Failed:
    """How an attempt has failed, and when."""

    reason: Reason
    detail: str
    at: datetime


@dataclass(slots=True)
class _Boot:
    """What this process has seen of an attempt so far. All instants are of the steady clock."""

    seen: Seen
    ends_at: datetime
    """The deadline of the attempt."""
    tries: int = 0
    down_since: datetime | None = None
    problem: str = "The machine did not come up."
    reason: Reason | None = None
    """Why the attempt fails if the problem stays; None: by how far the machine came."""
    is_wait_told: bool = False
    """The events tell what the machine lacks."""
    was_up: bool = False
    failed: _Failed | None = None
    """That the attempt has failed, where it could not be written down."""


@dataclass(frozen=True, slots=True)
class _Proved:
    access: Access
    evidence: Mapping[str, Any] = field(default_factory=dict)


class _NotProved(Exception):
    """Not yet: the message says what is missing, `reason` what it is if it stays so."""

    def __init__(self, message: str, reason: Reason | None = None) -> None:
        super().__init__(message)
        self.reason = reason


class Verifier:
    """The step VERIFY: one look at the provider's list, one try to log in."""

    def __init__(self, tools: Tools, ssh: Logins, authorized: AuthorizedKeys) -> None:
        self._tools = tools
        self._ssh = ssh
        self._authorized = authorized
        self._lookout = Lookout(tools)
        self._boots: dict[str, _Boot] = {}
        tools.journal.listen(self)

    def session_changed(self, change: Change, _: Session) -> None:
        """A journal tells of every change: an attempt begins its time here, or needs no memory.

        Its deadline was written by a wall clock that may have been set since.
        """
        attempt = change.attempt
        if attempt is not None and change.name is Effect.ACCEPT:
            steady = self._tools.steady()
            self._boots[attempt.label] = _Boot(Seen(steady), ends_at=steady + _given(attempt))
        elif attempt is not None and attempt.is_closed:
            self._boots.pop(attempt.label, None)

    def has_failed(self, attempt: Attempt) -> bool:
        """Whether the attempt has failed, and its row does not say so yet."""
        boot = self._boots.get(attempt.label)
        return boot is not None and boot.failed is not None

    async def verify(self, session: Session, attempt: Attempt, _effort: Effort) -> timedelta | None:
        """Try once. Returns the pause before the next try; None when the attempt is decided."""
        boot = self._boots.setdefault(attempt.label, self._begun(attempt))
        if boot.failed is not None:
            await self._fail(session, boot, boot.failed)
            return None
        self._authorized.ensure(session, attempt)
        left = boot.ends_at - self._tools.steady()
        pause = None
        # A machine that came up while nobody looked gets one try after a restart.
        if left <= timedelta(0) and boot.tries:
            reason = boot.reason or _timeout_reason(session, boot)
            detail = f"Not ready within {_span(_given(attempt))}. {boot.problem}"
            await self._doom(session, boot, reason, detail)
        else:
            patience = min(left, _LONGEST_TRY) if left > timedelta(0) else _LONGEST_TRY
            pause = await self._try(session, attempt, boot, patience)
        if pause is None:
            self._boots.pop(attempt.label, None)
            return None
        return max(min(pause, boot.ends_at - self._tools.steady()), _SHORTEST_PAUSE)

    def _begun(self, attempt: Attempt) -> _Boot:
        """What another process has accepted has the time that the wall clock leaves.

        From here on nothing that it does makes that longer or shorter.
        """
        now, steady = self._tools.now(), self._tools.steady()
        return _Boot(Seen(steady), ends_at=steady + ((attempt.deadline_at or now) - now))

    async def _try(
        self, session: Session, attempt: Attempt, boot: _Boot, patience: timedelta
    ) -> timedelta | None:
        boot.tries += 1
        interval = self._tools.rules.verify_interval
        look = growing(interval, _LOOK_GROWTH, boot.tries, _LONGEST_LOOK)
        try:
            async with asyncio.timeout(patience.total_seconds()):
                instance = await self._lookout.look(attempt, boot.seen)
        except (ProviderError, TimeoutError) as error:
            why = str(error) or "no answer in time"
            boot.problem = f"The provider's list could not be read: {why}"
            return look
        if boot.seen.is_gone:
            detail = "The provider no longer has the machine."
            await self._doom(session, boot, Reason.INSTANCE_LOST, detail)
            return None
        if instance is None:
            return look
        await self._note_price(session, attempt, instance)
        wrong = self._judge(session, attempt, instance, boot)
        if wrong is not None:
            await self._doom(session, boot, wrong.reason, wrong.detail)
            return None
        if instance.status is not InstanceStatus.RUNNING:
            boot.problem = f"The provider calls the machine {instance.status}{said_of(instance)}"
            return look
        return await self._prove(session, attempt, instance, boot, patience)

    def _judge(
        self, session: Session, attempt: Attempt, instance: Instance, boot: _Boot
    ) -> Wrong | None:
        if wrong := judge_price(session, attempt, instance, self._tools.rules.price_tolerance):
            return wrong
        if instance.status is InstanceStatus.FAILED:
            return judge_failure(session, instance)
        return self._judge_down(instance, boot)

    def _judge_down(self, instance: Instance, boot: _Boot) -> Wrong | None:
        if instance.status not in _DOWN:
            boot.down_since = None
            return None
        now = self._tools.steady()
        boot.down_since = boot.down_since or now
        if now - boot.down_since < self._tools.rules.lost_after:
            return None
        detail = f"The provider calls the machine {instance.status}{said_of(instance)}"
        return Wrong(Reason.BOOT_FAILED, detail)

    async def _prove(
        self,
        session: Session,
        attempt: Attempt,
        instance: Instance,
        boot: _Boot,
        patience: timedelta,
    ) -> timedelta | None:
        if not boot.was_up:
            boot.was_up, boot.tries = True, 1
        session = await self._locate(session, attempt, instance)
        try:
            proof = await self._proof(session, attempt, instance, patience)
        except _NotProved as missing:
            boot.problem, boot.reason = str(missing), missing.reason
            await self._tell_of_wait(session, attempt, boot)
            return growing(self._tools.rules.verify_interval, _GROWTH, boot.tries, _LONGEST_PAUSE)
        if isinstance(proof, Wrong):
            await self._doom(session, boot, proof.reason, proof.detail)
            return None
        now = self._tools.now()
        await self._write(
            session, lambda s, a: moves.verify(s, a, proof.access, proof.evidence, now)
        )
        self._tools.keyring.forget(session.id)
        return None

    async def _tell_of_wait(self, session: Session, attempt: Attempt, boot: _Boot) -> None:
        """Write down what the machine itself lacks: once in an attempt, beyond restarts."""
        if boot.reason is None or boot.is_wait_told:
            return
        tools = self._tools
        told = await tools.store.events(session_id=session.id)
        if not any(e.type == moves.WAITING and e.data["attempt"] == attempt.n for e in told):
            now, missing = tools.now(), boot.problem
            await self._write(session, lambda s, a: moves.wait(s, a, missing, now))
        boot.is_wait_told = True

    async def _note_price(self, session: Session, attempt: Attempt, instance: Instance) -> None:
        """Write down what the provider charges, also for a machine that is left because of it."""
        tools, price = self._tools, instance.price_per_hour
        if price is not None and shown(price) != shown(attempt.price_per_hour):
            with suppress(StoreUnwritable):  # the next look tries again
                await tools.journal.apply(
                    session.id, lambda s, a: moves.reprice(s, a, price, tools.now())
                )

    async def _locate(self, session: Session, attempt: Attempt, instance: Instance) -> Session:
        """Write down the address as soon as it is known."""
        tools = self._tools
        access = _access(session, instance, instance.ways_in(attempt.offer))
        if access == session.access:
            return session
        with suppress(StoreUnwritable):  # the next look tries again
            return await tools.journal.apply(
                session.id, lambda s, _: moves.locate(s, access, tools.now())
            )
        return replace(session, access=access)

    async def _proof(
        self, session: Session, attempt: Attempt, instance: Instance, patience: timedelta
    ) -> _Proved | Wrong:
        if session.request.launch_mode is LaunchMode.SSH:
            return await self._prove_ssh(session, attempt, instance, patience)
        await self._prove_endpoint(session, instance)
        try:
            return await self._prove_ssh(session, attempt, instance, patience)
        except _NotProved:
            # An image is free to bring no SSH: the port is what was promised.
            return _Proved(session.access, {"proof": "http"})

    async def _prove_endpoint(self, session: Session, instance: Instance) -> None:
        endpoint = _api_port(session, instance)
        if endpoint is None:
            raise _NotProved("The API's port is not published yet.")
        missing = await answers_http(endpoint)
        if missing is not None:
            raise _NotProved(missing)

    async def _prove_ssh(
        self, session: Session, attempt: Attempt, instance: Instance, patience: timedelta
    ) -> _Proved | Wrong:
        missing = f"The provider has not told the machine's SSH address yet{said_of(instance)}"
        for endpoint in instance.ways_in(attempt.offer):
            access = replace(session.access, ssh=endpoint, ssh_user=instance.ssh_user)
            try:
                return await self._prove_address(session, attempt, access, endpoint, patience)
            except NotYet as error:
                missing = f"At {endpoint.host}:{endpoint.port}, {error}."
                if error.reason is NotYetReason.KEY_REFUSED:
                    missing += self._tell_of_keys(session, attempt)
            except HostKeyChanged as error:
                return Wrong(Reason.HOST_KEY_CHANGED, str(error))
        raise _NotProved(missing)

    async def _prove_address(
        self,
        session: Session,
        attempt: Attempt,
        access: Access,
        endpoint: Endpoint,
        patience: timedelta,
    ) -> _Proved | Wrong:
        consumer_key = self._tools.keyring.consumer_key(session.id)
        if consumer_key is None and not session.request.managed_access:
            await self._ssh.banner(endpoint, timeout=patience)
            return _Proved(access, {"proof": "banner"})
        result = await self._ssh.run(
            endpoint,
            access.ssh_user or "root",
            consumer_key or self._tools.keyring.own.private_pem,
            VERIFY_COMMAND,
            host_keys=session.access.known_hosts,
            timeout=patience,
        )
        verification = parse_verification(result)
        if consumer_key is None and not verification.admits(session.public_key):
            missing = "The consumer's key is not on the machine yet."
            raise _NotProved(missing + self._tell_of_keys(session, attempt))
        mismatch = judge_gpus(attempt.offer, verification)
        if mismatch is not None and mismatch.may_pass:
            raise _NotProved(mismatch.message, Reason.WRONG_GPU)
        if mismatch is not None:
            return Wrong(Reason.WRONG_GPU, mismatch.message)
        return _proved(access, endpoint, result, verification)

    def _tell_of_keys(self, session: Session, attempt: Attempt) -> str:
        """Let the provider know that a key is missing; what kept it from knowing, if anything."""
        self._authorized.missing(session, attempt)
        trouble = self._authorized.trouble_of(attempt)
        return f" {trouble}" if trouble else ""

    async def _doom(self, session: Session, boot: _Boot, reason: Reason, detail: str) -> None:
        await self._fail(session, boot, _Failed(reason, detail, self._tools.now()))

    async def _fail(self, session: Session, boot: _Boot, failed: _Failed) -> None:
        """Write down that the attempt has failed, and remember it as long as nothing is written."""
        boot.failed = failed
        await self._write(
            session, lambda s, a: moves.doom(s, a, failed.reason, failed.detail, failed.at)
        )
        boot.failed = None

    async def _write(self, session: Session, decide: Decision) -> None:
        """Write what is decided, unless the session is not wanted any more."""
        await self._tools.journal.apply(
            session.id, lambda s, a: decide(s, a) if s.wanted is Wanted.RUNNING else None
        )


def _proved(
    access: Access, endpoint: Endpoint, result: SshResult, verification: Verification
) -> _Proved:
    pinned = replace(access, known_hosts=(known_hosts_line(endpoint, result.host_key),))
    gpus = [{"name": gpu.name, "memory_mib": gpu.memory_mib} for gpu in verification.gpus]
    return _Proved(pinned, {"proof": "ssh", "gpus": gpus})


def _given(attempt: Attempt) -> timedelta:
    """How long the attempt might take."""
    begun_at = attempt.accepted_at or attempt.started_at
    return (attempt.deadline_at or begun_at) - begun_at


def _span(span: timedelta) -> str:
    minutes = span / timedelta(minutes=1)
    return f"{minutes:g} min" if minutes >= 1 else f"{span.total_seconds():g} s"


def _access(session: Session, instance: Instance, ways_in: Sequence[Endpoint]) -> Access:
    """Where the machine will be reached, as far as the provider has told."""
    known = session.access
    ssh = known.ssh or next(iter(ways_in), None)
    api = _api_port(session, instance)
    return replace(
        known,
        ssh=ssh,
        ssh_user=known.ssh_user or (instance.ssh_user if ssh else None),
        ports=dict(instance.ports),
        api_endpoint=url(api) if api is not None else None,
    )


def _api_port(session: Session, instance: Instance) -> Endpoint | None:
    if session.request.launch_mode is not LaunchMode.ENTRYPOINT:
        return None
    return instance.ports.get(session.request.exposed_ports[0])


def _timeout_reason(session: Session, boot: _Boot) -> Reason:
    if not boot.was_up:
        return Reason.BOOT_TIMEOUT
    is_ssh = session.request.launch_mode is LaunchMode.SSH
    return Reason.SSH_TIMEOUT if is_ssh else Reason.ENDPOINT_TIMEOUT
