"""The pool through which the broker logs in to machines.

Waiting for a host to answer happens on the event loop; only hosts that have named
themselves get a thread, because paramiko blocks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Protocol

from broker.ssh.dial import Line, dial, identification
from broker.ssh.errors import NotYet, NotYetReason
from broker.ssh.login import SshResult, bare_host_key, run_command
from providers.base import Endpoint

SSH_PORT = 22
LOOKUP_THREADS = 4
"""Slow name servers hold up these, and nothing else of the broker."""


class Logins(Protocol):
    """The way into machines."""

    async def run(
        self,
        endpoint: Endpoint,
        user: str,
        key: str,
        command: str,
        *,
        host_keys: tuple[str, ...],
        timeout: timedelta,  # noqa: ASYNC109
    ) -> SshResult:
        """Log in to `endpoint` with the private key `key` (PEM) and run one command.

        `host_keys` are those seen before (as `SshResult.host_key`, or as lines of
        known_hosts); empty: whoever answers is believed. `timeout` bounds everything,
        the wait for a free thread too. Raises `NotYet`, `HostKeyChanged`, `BadKey`.
        """
        ...

    async def banner(self, endpoint: Endpoint, *, timeout: timedelta) -> str:  # noqa: ASYNC109
        """The identification line of the SSH host at `endpoint`: proof that it answers.

        Raises `NotYet`.
        """
        ...

    def close(self) -> None:
        """Hang up on every machine."""
        ...


class SshPool:
    """A bounded number of logins at the same time, each in a thread of its own."""

    def __init__(self, threads: int = 32) -> None:
        self._logins = ThreadPoolExecutor(threads, thread_name_prefix="ssh-login")
        self._lookups = ThreadPoolExecutor(LOOKUP_THREADS, thread_name_prefix="ssh-lookup")
        self._lines: set[Line] = set()
        _silence_paramiko()

    async def run(
        self,
        endpoint: Endpoint,
        user: str,
        key: str,
        command: str,
        *,
        host_keys: tuple[str, ...],
        timeout: timedelta,  # noqa: ASYNC109 (it also shares the time out between addresses)
    ) -> SshResult:
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                line = await dial(endpoint, self._lookups, timeout)
                job = self._begin(line, partial(run_command, line, user, key, command, host_keys))
                return await self._finish(job, line)
        except TimeoutError:
            raise NotYet(NotYetReason.TIMED_OUT) from None

    async def banner(
        self,
        endpoint: Endpoint,
        *,
        timeout: timedelta,  # noqa: ASYNC109
    ) -> str:
        line = await dial(endpoint, self._lookups, timeout)
        line.release()
        return identification(line.greeting) or ""

    def close(self) -> None:
        """Hang up on every machine and let the threads end."""
        for line in self._lines:
            line.close()
        for pool in (self._logins, self._lookups):
            pool.shutdown(wait=False, cancel_futures=True)

    def _begin(self, line: Line, login: Callable[[], SshResult]) -> Future[SshResult]:
        try:
            return self._logins.submit(login)
        except RuntimeError:  # the pool was closed meanwhile
            line.release()
            raise NotYet(NotYetReason.CLOSED) from None

    async def _finish(self, job: Future[SshResult], line: Line) -> SshResult:
        self._lines.add(line)
        try:
            return await asyncio.wrap_future(job)
        finally:
            self._lines.discard(line)
            if job.cancel():  # no thread has begun, so none will release the line
                line.release()
            else:
                line.close()


def known_hosts_line(endpoint: Endpoint, host_key: str) -> str:
    """`host_key` as a line of OpenSSH's known_hosts."""
    is_usual = endpoint.port == SSH_PORT
    host = endpoint.host if is_usual else f"[{endpoint.host}]:{endpoint.port}"
    return f"{host} {bare_host_key(host_key)}"


def _silence_paramiko() -> None:
    """It logs every hang-up as an error, with a traceback; our errors say the same."""
    logger = logging.getLogger("paramiko")
    logger.setLevel(logging.CRITICAL)
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
