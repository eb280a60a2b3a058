"""A fresh key for a running session, put on its machine over the broker's own access."""

from __future__ import annotations

from datetime import timedelta

from broker.decide import moves
from broker.errors import Conflict, NoLoginYet
from broker.model import Change, KeyType, Session, Status, Wanted
from broker.ssh.connection import SshPool
from broker.ssh.errors import HostKeyChanged, NotYet
from broker.ssh.login import SshResult
from broker.ssh.rekey import NotExchanged, check_exchange, rekey_command
from broker.usecases.keys import digest, new_keys
from broker.usecases.launch import Tools
from broker.usecases.receipts import UNKEYED, Turn
from broker.usecases.rules import Secrets
from broker.usecases.turns import Turns

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
            await self._exchange(session, private_key, public_line)
            session = await self._write(session, public_line, token, turn)
            return session, Secrets(private_key, token)

    async def _exchange(self, session: Session, private_key: str | None, public_line: str) -> None:
        own = self._tools.keyring.own
        command = rekey_command(session.public_key, public_line, own.public_line)
        try:
            result = await self._run(session, own.private_pem, command)
            check_exchange(result, session.public_key, public_line)
            if private_key is not None:
                await self._run(session, private_key, "true")
        except (NotYet, NotExchanged) as error:
            raise NoLoginYet(f"The machine did not take a fresh key: {error}.") from error
        except HostKeyChanged as error:
            raise Conflict(str(error)) from error

    async def _run(self, session: Session, key: str, command: str) -> SshResult:
        access = session.access
        if access.ssh is None:
            raise Conflict(_WITHOUT_SSH)
        return await self._ssh.run(
            access.ssh,
            access.ssh_user or "root",
            key,
            command,
            host_keys=access.known_hosts,
            timeout=_PATIENCE,
        )

    async def _write(
        self, session: Session, public_line: str, token: str | None, turn: Turn
    ) -> Session:
        now = self._tools.now()

        def decide(current: Session) -> Change:
            _require_access(current)
            change = moves.reissue(current, public_line, digest(token) if token else None, now)
            return turn.sign(change, now)

        return await self._tools.journal.apply(session.id, lambda s, _: decide(s))


_WITHOUT_SSH = "No SSH login was ever proved on this session's machine: there is no key to renew."


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
    if session.access.ssh is None or not session.access.known_hosts:
        raise Conflict(_WITHOUT_SSH)
