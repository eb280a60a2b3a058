"""Machines that boot: every way in which SSH does not work yet, and none of them is final."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

import asyncssh
import pytest

from broker.ssh.connection import SshPool
from broker.ssh.errors import NotYet, NotYetReason
from providers.base import Endpoint
from tests.service.ssh_machines import (
    HOST_KEYS,
    KEY,
    LONG,
    OTHER_KEY,
    SHORT,
    Boot,
    Listen,
    boot,
    greet_and_hang_up,
    greet_and_stay_silent,
    hang_up,
    listen,
    log_in,
    not_yet,
    pool,
    stay_silent,
    until,
)

__all__ = ["boot", "listen", "pool"]


class TestNotYet:
    """A machine that boots: everything may pass but a changed host key."""

    async def test_a_refused_key_may_be_accepted_later(self, pool: SshPool, boot: Boot) -> None:
        """Keys arrive on machines after their SSH server."""
        machine = await boot()
        machine.authorized = {OTHER_KEY.public_line}
        async with not_yet(NotYetReason.KEY_REFUSED):
            await log_in(pool, machine)
        machine.authorized = {KEY.public_line}
        assert (await log_in(pool, machine)).exit_code == 0

    async def test_nobody_listens(self, pool: SshPool) -> None:
        """The port is published before the server runs."""
        free = Endpoint("127.0.0.1", 1)
        async with not_yet(NotYetReason.REFUSED):
            await pool.banner(free, timeout=LONG)
        async with not_yet(NotYetReason.REFUSED):
            await log_in(pool, free)

    async def test_the_connection_closes_before_the_greeting(
        self, pool: SshPool, listen: Listen
    ) -> None:
        """Proxies of half-booted machines do this for minutes: it says nothing about keys."""

        machine = await listen(hang_up)
        for _ in range(5):
            async with not_yet(NotYetReason.CLOSED):
                await log_in(pool, machine)

    async def test_the_connection_is_reset_before_the_greeting(
        self, pool: SshPool, listen: Listen
    ) -> None:
        """The same, ruder."""

        async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.transport.abort()

        async with not_yet(NotYetReason.CLOSED):
            await log_in(pool, await listen(reset))

    async def test_the_connection_closes_after_the_greeting(
        self, pool: SshPool, listen: Listen
    ) -> None:
        """A server without host keys yet: a handshake that ends is no refusal of a key."""

        async with not_yet(NotYetReason.CLOSED):
            await log_in(pool, await listen(greet_and_hang_up))

    async def test_the_host_says_nothing(self, pool: SshPool, listen: Listen) -> None:
        """A port forwarder without a machine behind it."""
        machine = await listen(stay_silent)
        async with not_yet(NotYetReason.TIMED_OUT):
            await log_in(pool, machine, timeout=SHORT)

    async def test_the_host_says_nothing_after_the_greeting(
        self, pool: SshPool, listen: Listen
    ) -> None:
        """The time bounds the handshake, too."""

        async with not_yet(NotYetReason.TIMED_OUT):
            await log_in(pool, await listen(greet_and_stay_silent), timeout=SHORT)

    async def test_silent_hosts_occupy_no_thread(self, boot: Boot, listen: Listen) -> None:
        """A hundred dead machines must not keep a living one waiting."""
        pool = SshPool(threads=1)
        silent = await listen(stay_silent)
        waiting = [asyncio.create_task(log_in(pool, silent)) for _ in range(100)]
        assert (await log_in(pool, await boot())).exit_code == 0
        assert not any(task.done() for task in waiting)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        pool.close()

    async def test_the_connection_drops_in_the_login(self, pool: SshPool, boot: Boot) -> None:
        """That is no word about the key."""
        machine = await boot()
        machine.drops_logins = True
        async with not_yet(NotYetReason.CLOSED):
            await log_in(pool, machine)

    async def test_the_command_does_not_end(self, pool: SshPool, boot: Boot) -> None:
        """A driver that hangs: the machine is hung up on."""
        machine = await boot()
        async with not_yet(NotYetReason.TIMED_OUT):
            await log_in(pool, machine, "hang", timeout=timedelta(seconds=1))
        await until(lambda: machine.closed == 1)

    @pytest.mark.parametrize("end", ["drop", "die"])
    async def test_the_command_is_cut_off(self, pool: SshPool, boot: Boot, end: str) -> None:
        """A reboot in the middle, or a kill: half an answer must not be taken for one."""
        machine = await boot()
        async with not_yet(NotYetReason.CLOSED):
            await log_in(pool, machine, end)

    async def test_commands_are_refused(self, pool: SshPool, boot: Boot) -> None:
        """Logins may be closed while a machine is set up."""
        machine = await boot()
        machine.runs_commands = False
        async with not_yet(NotYetReason.SESSION_REFUSED):
            await log_in(pool, machine)

    async def test_something_else_answers(self, pool: SshPool, listen: Listen) -> None:
        """The web server of another tenant, or a port that is about to change hands."""

        async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(ConnectionError):
                for _ in range(1000):
                    writer.write(b"HTTP/1.1 400 Bad Request\r\n" * 100)
                    await writer.drain()

        async with not_yet(NotYetReason.NO_AGREEMENT):
            await log_in(pool, await listen(talk))

    @pytest.mark.parametrize(
        "packet",
        [b"\x00" * 64, b"\xff" * 64, b"\x00\x00\x00\x0c\x0a\x14" + b"\x01" * 64],
        ids=["zeros", "ones", "half a key exchange"],
    )
    async def test_the_handshake_is_rubbish(
        self, pool: SshPool, listen: Listen, packet: bytes
    ) -> None:
        """Whatever the SSH library makes of a stranger's bytes is one kind of failure here."""

        async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"SSH-2.0-babble\r\n" + packet)
            await writer.drain()
            await reader.read(1)

        with pytest.raises(NotYet):
            await log_in(pool, await listen(babble))

    async def test_no_algorithm_is_shared(self, pool: SshPool) -> None:
        """A server from another age."""
        server = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[HOST_KEYS["ssh-ed25519"]],
            encryption_algs=["aes256-cbc"],
        )
        machine = Endpoint("127.0.0.1", server.get_port())
        async with not_yet(NotYetReason.NO_AGREEMENT):
            await log_in(pool, machine)
        server.close()
        await server.wait_closed()

    async def test_the_name_does_not_exist(self, pool: SshPool) -> None:
        """Names of machines appear after the machines."""
        async with not_yet(NotYetReason.UNRESOLVED):
            await pool.banner(Endpoint("x" * 300, 22), timeout=LONG)

    def test_every_reason_is_a_sentence(self) -> None:
        """People read it in the session's error."""
        sentences = {str(NotYet(reason)) for reason in NotYetReason}
        assert len(sentences) == len(NotYetReason)


class TestBanner:
    """The proof of the SSH host answering, without a login."""

    async def test_it_is_the_identification_line(self, pool: SshPool, boot: Boot) -> None:
        """No key is needed to see it."""
        machine = await boot()
        banner = await pool.banner(machine.endpoint, timeout=LONG)
        assert banner.startswith("SSH-2.0-AsyncSSH")
        await until(lambda: machine.closed == 1)

    async def test_it_may_come_late_and_in_pieces(self, pool: SshPool, listen: Listen) -> None:
        """The protocol allows lines before it, and TCP cuts anywhere."""

        async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for piece in (b"Welco", b"me\r\nSSH-2.", b"0-Open", b"SSH_9.6\r", b"\n"):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            await reader.read()

        banner = await pool.banner(await listen(greet), timeout=LONG)
        assert banner == "SSH-2.0-OpenSSH_9.6"

    async def test_lines_before_it_do_not_disturb_the_login(
        self, pool: SshPool, boot: Boot, listen: Listen
    ) -> None:
        """What is read while waiting must reach the handshake."""
        machine = await boot()

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            theirs = await asyncio.open_connection(machine.endpoint.host, machine.endpoint.port)
            writer.write(b"Authorised use only\r\n")

            async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
                while data := await source.read(4096):
                    target.write(data)
                target.close()

            await asyncio.gather(copy(reader, theirs[1]), copy(theirs[0], writer))

        assert (await log_in(pool, await listen(relay))).exit_code == 0
