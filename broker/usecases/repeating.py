"""Answering a creation again: the same session, with secrets that work now."""

from __future__ import annotations

from broker.decide import upkeep
from broker.errors import Conflict
from broker.model import Change, Session, Status, Wanted, Warned
from broker.usecases.keys import digest, new_token
from broker.usecases.launch import Tools
from broker.usecases.opened import Opened, require_opened, warnings_about
from broker.usecases.rekey import Rekeying
from broker.usecases.rules import Secrets
from providers.base import LaunchMode

_KEY_LOST = Warned(
    "key_not_reissued",
    "Only the consumer's key is on the machine (managed_access is false), so it cannot be told "
    "again. If it is lost, end this session and open another one.",
)


_NO_LOGIN = Warned(
    "key_not_reissued",
    "The machine serves its port, and takes no SSH login: its image may have none. If it does "
    "later, a POST to the session's /rekey gives a key.",
)


class Repeating:
    """Repeats the answers to creations."""

    def __init__(self, tools: Tools, rekeying: Rekeying) -> None:
        self._tools = tools
        self._rekeying = rekeying

    async def repeat(self, session_id: str, *, has_own_key: bool) -> Opened:
        """The session of an earlier request with the same Idempotency-Key, as it is now.

        Its secrets are those of the first answer while they are in memory. Afterwards they
        are fresh, and the lost ones stop working; a session that ends gets none. Raises what
        the creation raised, and NoLoginYet while no fresh key can be put on the machine.
        `has_own_key`: the consumer brought its public key, so that no other is needed.
        """
        session, attempt = await self._tools.journal.read(session_id)
        require_opened(session, attempt)
        kept = self._tools.keyring.secrets(session_id)
        if session.wanted is Wanted.GONE:
            return await self._opened(session_id, Secrets(None, None))
        if kept is not None:
            return await self._opened(session_id, kept)
        if has_own_key:
            return await self._opened(session_id, await self._renew_token(session_id))
        if not session.request.managed_access:
            return await self._opened(session_id, await self._renew_token(session_id), _KEY_LOST)
        try:
            _, secrets = await self._rekeying.rekey(session_id, token=new_token())
        except Conflict:
            if not _may_lack_ssh(session):
                raise
            return await self._opened(session_id, await self._renew_token(session_id), _NO_LOGIN)
        return await self._opened(session_id, secrets)

    async def _renew_token(self, session_id: str) -> Secrets:
        token, now = new_token(), self._tools.now()

        def decide(current: Session) -> Change | None:
            if current.is_final:
                return None
            return upkeep.reissue(current, None, digest(token), current.access, now)

        session = await self._tools.journal.apply(session_id, lambda s, _: decide(s))
        return Secrets(None, None if session.is_final else token)

    async def _opened(self, session_id: str, secrets: Secrets, *more: Warned) -> Opened:
        overview = await self._tools.journal.overview(session_id)
        warnings = warnings_about(overview.session, overview.attempts[-1])
        return Opened(overview, secrets, (*warnings, *more))


def _may_lack_ssh(session: Session) -> bool:
    """Whether the session runs on the proof of its port alone."""
    is_served = session.request.launch_mode is LaunchMode.ENTRYPOINT
    return is_served and session.status is Status.RUNNING and not session.access.known_hosts
