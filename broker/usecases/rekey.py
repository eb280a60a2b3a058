"""A fresh key for a running session, put on its machine over the broker's own access."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from broker.decide import upkeep
from broker.decide.keys import Retired, replaced_key
from broker.decide.proof import bare_public_key
from broker.errors import Conflict, NoLoginYet
from broker.model import Attempt, Change, KeyType, Session, Status, Wanted
from broker.ssh.connection import Logins, known_hosts_line
from broker.ssh.errors import HostKeyChanged, NotYet, NotYetReason
from broker.ssh.rekey import NotExchanged, check_exchange, rekey_command
from broker.usecases.authorized import AuthorizedKeys
from broker.usecases.idempotency import UNKEYED, Turn
from broker.usecases.keys import digest, new_keys
from broker.usecases.launch import Tools
from broker.usecases.managed import PATIENCE, ManagedAccess
from broker.usecases.rules import Secrets
from broker.usecases.turns import Turns
from providers.base import Endpoint
from providers.errors import ProviderError

T = TypeVar("T")

_PATIENCE = 20.0
"""Seconds that a provider gets to put a key on a machine while somebody waits for an answer."""
_BETWEEN_TRIES = 1.0


class Rekeying:
    """Exchanges consumers' keys; two exchanges of one session never meet."""

    def __init__(
        self, tools: Tools, ssh: Logins, authorized: AuthorizedKeys, access: ManagedAccess
    ) -> None:
        self._tools = tools
        self._ssh = ssh
        self._authorized = authorized
        self._access = access
        self._turns = Turns()

    async def rekey(
        self,
        session_id: str,
        *,
        public_key: str | None = None,
        key_type: KeyType | None = None,
        token: str | None = None,
        turn: Turn = UNKEYED,
    ) -> tuple[Session, Secrets]:
        """Put a fresh key on the machine; the one before stops working.

        `public_key` is one that the consumer brings, else a pair of `key_type` is made, or of
        the kind that the session has. With `token` the session's token becomes that one.
        Raises NotFound, Conflict where the session has no machine that the broker can log in
        to, NoLoginYet where trying again may help, ValidationFailed for a bad `public_key`.
        """
        async with self._turns.of(session_id):
            session, attempt = await self._tools.journal.read(session_id)
            _require_access(session)
            request = session.request
            kind = key_type or request.ssh_key_type
            private_key, public_line = await new_keys(public_key, kind, request.consumer_id)
            known_hosts = await self._exchange(session, attempt, private_key, public_line)
            replaced = self._replaced(session, attempt, public_line)
            session = await self._write(session, public_line, token, known_hosts, replaced, turn)
            if replaced is not None:
                self._authorized.retire(Retired(session_id, replaced))
            return session, Secrets(private_key, token)

    def _replaced(self, session: Session, attempt: Attempt, public_line: str) -> str | None:
        """The key that the provider has to forget, where it owns the keys of its machines."""
        owns_keys = self._tools.doors[attempt.offer.provider].owns_keys
        return replaced_key(session.public_key, public_line) if owns_keys else None

    async def _exchange(
        self, session: Session, attempt: Attempt, private_key: str | None, public_line: str
    ) -> tuple[str, ...]:
        """Put the key on the machine and log in with it; returns the pinned host key."""
        endpoint, known_hosts = session.access.ssh, session.access.known_hosts
        if endpoint is None:
            raise Conflict(_WITHOUT_SSH)
        own = self._tools.keyring.own
        command = rekey_command(session.public_key, public_line, own.public_line)
        try:
            # First the provider: what only the machine knows, it may overwrite at any time.
            await self._authorized.attach(session, attempt, public_line)
            result = await self._once_let_in(
                attempt, lambda: self._access.run(session, attempt, endpoint, command)
            )
            known_hosts = known_hosts or (known_hosts_line(endpoint, result.host_key),)
            check_exchange(result, session.public_key, public_line)
            if private_key is not None:
                await self._once_let_in(
                    attempt, lambda: self._log_in(session, endpoint, private_key, known_hosts)
                )
        except (NotYet, NotExchanged, ProviderError) as error:
            if self._tools.doors[attempt.offer.provider].owns_keys:
                # Nobody uses it: the provider need not keep it.
                self._authorized.retire(Retired(session.id, bare_public_key(public_line)))
            raise NoLoginYet(f"The machine did not take a fresh key: {error}.") from error
        except HostKeyChanged as error:
            raise Conflict(str(error)) from error
        return known_hosts

    async def _once_let_in(self, attempt: Attempt, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` gives, as soon as its provider has put the key on the machine."""
        clock = asyncio.get_running_loop().time
        owns_keys = self._tools.doors[attempt.offer.provider].owns_keys
        ends_at = clock() + (_PATIENCE if owns_keys else 0)
        while True:
            try:
                return await work()
            except NotYet as error:
                if error.reason is not NotYetReason.KEY_REFUSED or clock() >= ends_at:
                    raise
            await asyncio.sleep(_BETWEEN_TRIES)

    async def _log_in(
        self, session: Session, endpoint: Endpoint, key: str, known_hosts: tuple[str, ...]
    ) -> None:
        user = session.access.ssh_user or "root"
        await self._ssh.run(endpoint, user, key, "true", host_keys=known_hosts, timeout=PATIENCE)

    async def _write(
        self,
        session: Session,
        public_line: str,
        token: str | None,
        known_hosts: tuple[str, ...],
        replaced: str | None,
        turn: Turn,
    ) -> Session:
        now = self._tools.now()
        token_digest = digest(token) if token else None

        def decide(current: Session) -> Change:
            _require_access(current)
            access = replace(current.access, known_hosts=known_hosts)
            change = upkeep.reissue(
                current, public_line, token_digest, access, now, replaced=replaced
            )
            return turn.sign(change, now)

        return await self._tools.journal.apply(session.id, lambda s, _: decide(s))


_WITHOUT_SSH = "This session's machine has no SSH: there is no key to renew."


def _require_access(session: Session) -> None:
    """Raise unless the broker can log in to the session's machine."""
    if session.wanted is Wanted.GONE:
        raise Conflict(f"The session is {session.status}: it needs no key any more.")
    if not session.request.managed_access:
        raise Conflict(
            "Only the consumer's key is on the machine (managed_access is false), so the broker "
            "cannot put another one there. End the session, and open another one."
        )
    if session.status is not Status.RUNNING:
        raise NoLoginYet(f"The session is {session.status}: its machine takes no login yet.")
