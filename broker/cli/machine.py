"""Logging in to a rented machine from Python, with the host key that the broker proved."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from broker.cli import keys
from broker.cli.client import Body, Client, path_of
from broker.cli.exits import CommandFailed
from broker.cli.waiting import FINAL

if TYPE_CHECKING:
    from paramiko import SSHClient

_CONNECT_SECONDS = 20.0
_PLAIN_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:%@-]*|[0-9a-fA-F:]+")


def find_machine(client: Client, session_id: str) -> Body:
    """The session, if one can log in to its machine now; raises CommandFailed saying why not."""
    session = client.get(path_of("sessions", session_id)).body
    status = session["status"]
    if status in FINAL:
        raise CommandFailed(f"{session_id} is {status}: its machine is gone.")
    if not session.get("ssh_host"):
        raise CommandFailed(
            f"{session_id} is {status} and has no SSH address yet. "
            f"`gpu-broker sessions get {session_id}` shows when it has."
        )
    if not session.get("known_hosts"):
        raise CommandFailed(
            f"{session_id} is {status}: its host key is not proved yet. Wait until it is running."
        )
    _refuse_strange_words(session)
    return session


def _refuse_strange_words(session: Body) -> None:
    """A marketplace's text must not become an option or a line of somebody's configuration."""
    for name in ("ssh_host", "ssh_user"):
        if not _PLAIN_WORD.fullmatch(str(session[name])):
            raise CommandFailed(f"The {name} of {session['id']} is not one: {session[name]!r}.")


def goes_on(session_id: str) -> str:
    """That a machine outlives the command, and how to end it: for whoever pressed Ctrl-C."""
    return f"{session_id} goes on: `gpu-broker sessions done {session_id}` ends it."


def known_hosts_file(session: Body) -> Path:
    """A file with the session's proved host keys and no others."""
    return keys.store_known_hosts(session["id"], session["known_hosts"])


@contextmanager
def logged_in(session: Body, key: Path | None, known_hosts: Path) -> Iterator[SSHClient]:
    """An SSH connection to a session's machine; without `key`, the person's own keys are tried.

    Only a host key in the file `known_hosts` is accepted. Raises CommandFailed: wrong host
    key, refused login, no answer.
    """
    from paramiko import RejectPolicy, SSHClient, SSHException  # noqa: PLC0415

    with SSHClient() as client:
        client.load_system_host_keys(str(known_hosts))
        client.set_missing_host_key_policy(RejectPolicy())
        try:
            client.connect(
                session["ssh_host"],
                session["ssh_port"],
                session["ssh_user"],
                key_filename=None if key is None else str(key),
                look_for_keys=key is None,
                allow_agent=key is None,
                timeout=_CONNECT_SECONDS,
                banner_timeout=_CONNECT_SECONDS,
                auth_timeout=_CONNECT_SECONDS,
            )
        except (SSHException, OSError) as error:
            address = f"{session['ssh_user']}@{session['ssh_host']}:{session['ssh_port']}"
            raise CommandFailed(f"Cannot log in to {address}: {error}") from error
        yield client
