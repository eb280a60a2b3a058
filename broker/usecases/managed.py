"""The broker's own way into machines with managed access."""

from __future__ import annotations

from datetime import timedelta

from broker.model import Attempt, Session
from broker.ssh.connection import Logins
from broker.ssh.errors import NotYet, NotYetReason
from broker.ssh.login import SshResult
from broker.usecases.authorized import AuthorizedKeys
from broker.usecases.launch import Tools
from providers.base import Endpoint

PATIENCE = timedelta(seconds=15)
"""How long one command may take, the login included."""


class ManagedAccess:
    """Runs commands on the machines of sessions, with the broker's own key."""

    def __init__(self, tools: Tools, ssh: Logins, authorized: AuthorizedKeys) -> None:
        self._tools = tools
        self._ssh = ssh
        self._authorized = authorized

    async def run(
        self, session: Session, attempt: Attempt, endpoint: Endpoint, command: str
    ) -> SshResult:
        """What `command` says; raises NotYet and HostKeyChanged.

        Where the machine does not accept the key, its provider is told of it again.
        """
        try:
            return await self._ssh.run(
                endpoint,
                session.access.ssh_user or "root",
                self._tools.keyring.own.private_pem,
                command,
                host_keys=session.access.known_hosts,
                timeout=PATIENCE,
            )
        except NotYet as error:
            if error.reason is NotYetReason.KEY_REFUSED:
                self._authorized.missing(session, attempt)
            raise
