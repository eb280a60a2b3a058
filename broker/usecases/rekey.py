"""A fresh key for a running session, put on its machine over the broker's own access."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from broker.decide import upkeep
from broker.errors import Conflict, NoLoginYet
from broker.model import Change, KeyType, Session, Status, Wanted
from broker.ssh.connection import SshPool, known_hosts_line
from broker.ssh.errors import HostKeyChanged, NotYet
from broker.ssh.login import SshResult
from broker.ssh.rekey import NotExchanged, check_exchange, rekey_command
from broker.usecases.keys import digest, new_keys
from broker.usecases.launch import Tools
from broker.usecases.receipts import UNKEYED, Turn
from broker.usecases.rules import Secrets
from broker.usecases.turns import Turns
from providers.base import Endpoint

_PATIENCE = timedelta(seconds=15)


class Rekeying:
    """Exchanges consumers' keys; two exchanges of one session never meet."""

    def __init__(self, tools: Tools, ssh: SshPool) -> None:
        self._tools = tools
        self._ssh = ssh
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
            session, _ = await self._tools.journal.read(session_id)
            _require_access(session)
            request = session.request
            kind = key_type or request.ssh_key_type
            private_key, public_line = await new_keys(public_key, kind, request.consumer_id)
            known_hosts = await self._exchange(session, private_key, public_line)
            session = await self._write(session, public_line, token, known_hosts, turn)
            return session, Secrets(private_key, token)

    async def _exchange(
        self, session: Session, private_key: str | None, public_line: str
    ) -> tuple[str, ...]:
        """Put the key on the machine and log in with it; returns the pinned host key."""
        endpoint, known_hosts = session.access.ssh, session.access.known_hosts
        if endpoint is None:
            raise Conflict(_WITHOUT_SSH)
        own = self._tools.keyring.own
        command = rekey_command(session.public_key, public_line, own.public_line)
        try:
            result = await self._run(session, endpoint, own.private_pem, command, known_hosts)
            known_hosts = known_hosts or (known_hosts_line(endpoint, result.host_key),)
            check_exchange(result, session.public_key, public_line)
            if private_key is not None:
                await self._run(session, endpoint, private_key, "true", known_hosts)
        except (NotYet, NotExchanged) as error:
            raise NoLoginYet(f"The machine did not take a fresh key: {error}.") from error
        except HostKeyChanged as error:
            raise Conflict(str(error)) from error
        return known_hosts

    async def _run(
        self,
        session: Session,
        endpoint: Endpoint,
        key: str,
        command: str,
        known_hosts: tuple[str, ...],
    ) -> SshResult:
        user = session.access.ssh_user or "root"
        return await self._ssh.run(
            endpoint, user, key, command, host_keys=known_hosts, timeout=_PATIENCE
        )

    async def _write(
        self,
        session: Session,
        public_line: str,
        token: str | None,
        known_hosts: tuple[str, ...],
        turn: Turn,
    ) -> Session:
        now = self._tools.now()
        token_digest = digest(token) if token else None

        def decide(current: Session) -> Change:
            _require_access(current)
            access = replace(current.access, known_hosts=known_hosts)
            change = upkeep.reissue(current, public_line, token_digest, access, now)
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
