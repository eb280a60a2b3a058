"""Logging in to machines: a real SSH server, who it is, and what is left behind."""

from __future__ import annotations

import asyncio
import logging
import os
import traceback
from contextlib import suppress
from pathlib import Path

import asyncssh
import pytest

from broker.decide.proof import Gpu
from broker.model import KeyType
from broker.ssh.connection import SshPool, known_hosts_line
from broker.ssh.errors import HostKeyChanged, NotYet
from broker.ssh.keys import BadKey, generate
from broker.ssh.login import CUT_SHORT, MOST_OUTPUT, SshResult
from broker.ssh.probe import IDLE_COMMAND, VERIFY_COMMAND, parse_idle, parse_verification
from providers.base import Endpoint
from tests.service.ssh_machines import (
    HOST_KEYS,
    KEY,
    OTHER_KEY,
    SHORT,
    Boot,
    Listen,
    boot,
    greet_and_hang_up,
    hang_up,
    listen,
    log_in,
    pool,
    public,
    stay_silent,
    until,
)

__all__ = ["boot", "listen", "pool"]


class TestLogin:
    """A machine that serves."""

    async def test_a_command_tells_its_output_its_exit_code_and_the_host_key(
        self, pool: SshPool, boot: Boot
    ) -> None:
        """Everything that the proof of a machine is made of."""
        machine = await boot()
        result = await log_in(pool, machine, "echo out; echo err >&2; exit 3")
        expected = SshResult(3, "out\n", "err\n", public(HOST_KEYS["ssh-ed25519"]))
        assert expected == result

    async def test_an_rsa_key_logs_in(self, pool: SshPool, boot: Boot) -> None:
        """Consumers may ask for RSA; their key is used while it is in memory."""
        machine = await boot()
        pair = generate(KeyType.RSA, "rsa")
        machine.authorized = {pair.public_line}
        assert (await log_in(pool, machine, key=pair.private_pem)).exit_code == 0

    async def test_a_command_that_reads_finds_the_end(self, pool: SshPool, boot: Boot) -> None:
        """Nobody types anything."""
        assert (await log_in(pool, await boot(), "cat; echo done")).stdout == "done\n"

    async def test_output_that_is_no_text_is_still_read(self, pool: SshPool, boot: Boot) -> None:
        """Machines print what they like."""
        machine = await boot()
        result = await log_in(pool, machine, r"printf 'a\377b' | tr '\377' x")
        assert result.stdout == "axb"

    @pytest.mark.parametrize("stream", ["stdout", "stderr"])
    async def test_long_output_is_bounded(self, pool: SshPool, boot: Boot, stream: str) -> None:
        """A machine must not fill the broker's memory, on either stream."""
        result = await log_in(pool, await boot(), f"flood {stream} {64 * 1024 * 1024}")
        assert getattr(result, stream) == "x" * MOST_OUTPUT
        assert result.exit_code == CUT_SHORT

    async def test_output_up_to_the_bound_is_complete(self, pool: SshPool, boot: Boot) -> None:
        """The bound cuts nothing that fits."""
        size = MOST_OUTPUT - 1
        result = await log_in(pool, await boot(), f"flood stdout {size}")
        assert (len(result.stdout), result.exit_code) == (size, 0)

    async def test_a_machine_is_found_by_its_name(self, pool: SshPool, boot: Boot) -> None:
        """Each of the name's addresses is tried: here IPv6 may come first, and nobody is there."""
        machine = await boot()
        named = Endpoint("localhost", machine.port)
        assert (await log_in(pool, named)).exit_code == 0

    async def test_many_machines_are_logged_in_to_at_once(self, pool: SshPool, boot: Boot) -> None:
        """More than there are threads."""
        machines = [await boot() for _ in range(5)]
        results = await asyncio.gather(
            *(log_in(pool, machines[n % 5], f"echo {n}") for n in range(60))
        )
        assert [f"{n}\n" for n in range(60)] == [result.stdout for result in results]


class TestProbes:
    """Command, shell, driver and parser must fit together."""

    async def test_the_driver_and_the_keys_are_read_over_a_real_login(
        self, pool: SshPool, boot: Boot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With a driver that is found on the PATH."""
        driver = tmp_path / "nvidia-smi"
        driver.write_text(
            "#!/bin/sh\n"
            'case "$*" in *name*) echo "NVIDIA L40S, 46068";; *) echo 3; echo 41;; esac\n'
        )
        driver.chmod(0o755)
        (tmp_path / ".ssh").mkdir()
        (tmp_path / ".ssh" / "authorized_keys").write_text(f"{KEY.public_line}\n")
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        monkeypatch.setenv("HOME", str(tmp_path))
        machine = await boot()
        seen = parse_verification(await log_in(pool, machine, VERIFY_COMMAND))
        assert (seen.gpus, seen.failure) == ((Gpu("NVIDIA L40S", 46068),), None)
        assert seen.admits(KEY.public_line)
        assert not seen.admits(OTHER_KEY.public_line)
        assert parse_idle(await log_in(pool, machine, IDLE_COMMAND)).gpu_util == 41

    @pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no process list in /proc")
    async def test_logins_of_the_ssh_daemon_are_seen_in_the_process_list(
        self, pool: SshPool, boot: Boot, tmp_path: Path
    ) -> None:
        """The daemon names its processes; ours is the one that our command runs under."""
        daemon = tmp_path / "sshd"
        daemon.symlink_to("/bin/sh")
        machine = await boot()
        machine.shell = ("sshd: root@notty", str(daemon))
        before = parse_idle(await log_in(pool, machine, IDLE_COMMAND)).users
        somebody = await asyncio.create_subprocess_exec(
            "sshd: ann@pts/0", "-c", "read line", executable=daemon, stdin=-1
        )
        during = parse_idle(await log_in(pool, machine, IDLE_COMMAND)).users
        await somebody.communicate(b"bye\n")
        assert before is not None
        assert during == before + 1


class TestHostKey:
    """Who answers is remembered."""

    async def test_the_host_key_that_was_seen_before_is_expected(
        self, pool: SshPool, boot: Boot
    ) -> None:
        """As the result told it, and as a line of known_hosts."""
        machine = await boot()
        seen = (await log_in(pool, machine)).host_key
        assert (await log_in(pool, machine, host_keys=(seen,))).host_key == seen
        line = known_hosts_line(machine.endpoint, seen)
        assert (await log_in(pool, machine, host_keys=(line,))).host_key == seen

    async def test_another_host_key_ends_it_before_any_key_is_offered(
        self, pool: SshPool, boot: Boot
    ) -> None:
        """Somebody else at the address learns nothing."""
        machine = await boot()
        with pytest.raises(HostKeyChanged):
            await log_in(pool, machine, host_keys=(OTHER_KEY.public_line,))
        assert machine.tried_keys == 0

    async def test_another_type_of_host_key_is_another_host(
        self, pool: SshPool, boot: Boot
    ) -> None:
        """It does not pass by itself."""
        machine = await boot("ecdsa-sha2-nistp256")
        with pytest.raises(HostKeyChanged):
            await log_in(pool, machine, host_keys=(public(HOST_KEYS["ssh-ed25519"]),))

    @pytest.mark.parametrize("name", list(HOST_KEYS))
    async def test_a_host_with_several_keys_shows_the_expected_one(
        self, pool: SshPool, boot: Boot, name: str
    ) -> None:
        """Otherwise a machine would change when its preferences do."""
        machine = await boot(*HOST_KEYS)
        expected = public(HOST_KEYS[name])
        assert (await log_in(pool, machine, host_keys=(expected,))).host_key == expected

    @pytest.mark.parametrize("port", [22, 40022])
    def test_its_line_is_understood_by_ssh(self, port: int) -> None:
        """Consumers paste it into their known_hosts."""
        line = known_hosts_line(Endpoint("ssh4.example", port), OTHER_KEY.public_line)
        known = asyncssh.import_known_hosts(line)
        trusted, *_ = known.match("ssh4.example", "", port)
        assert [public(key) for key in trusted] == [" ".join(OTHER_KEY.public_line.split()[:2])]


def open_descriptors() -> int:
    """How many files and sockets this process holds."""
    folder = Path("/proc/self/fd")
    if not folder.exists():
        pytest.skip("descriptors cannot be counted here")
    return len(list(folder.iterdir()))


class TestEnd:
    """Nothing stays behind."""

    async def test_a_caller_that_gives_up_closes_the_connection(
        self, pool: SshPool, boot: Boot
    ) -> None:
        """The session was ended meanwhile: the machine must see us go."""
        machine = await boot()
        login = asyncio.create_task(log_in(pool, machine, "hang"))
        await until(lambda: machine.started == 1)
        login.cancel()
        with pytest.raises(asyncio.CancelledError):
            await login
        await until(lambda: machine.closed == 1)

    async def test_a_caller_that_gives_up_in_the_queue_closes_the_connection(
        self, boot: Boot
    ) -> None:
        """No thread has begun with it."""
        pool = SshPool(threads=1)
        machine = await boot()
        first = asyncio.create_task(log_in(pool, machine, "hang"))
        await until(lambda: machine.started == 1)
        second = asyncio.create_task(log_in(pool, machine))
        await until(lambda: machine.connected == 2)
        second.cancel()
        await until(lambda: machine.closed == 1)
        assert not first.done()
        first.cancel()
        await until(lambda: machine.closed == 2)
        pool.close()

    async def test_closing_the_pool_hangs_up(self, boot: Boot) -> None:
        """The broker stops at once, whatever the machines do."""
        pool = SshPool(threads=1)
        machine = await boot()
        login = asyncio.create_task(log_in(pool, machine, "hang"))
        await until(lambda: machine.started == 1)
        pool.close()
        with pytest.raises(NotYet):
            await login

    async def test_a_closed_pool_logs_in_nowhere(self, boot: Boot) -> None:
        """Whoever still asks is told, and leaves no connection behind."""
        pool = SshPool(threads=1)
        pool.close()
        machine = await boot()
        with pytest.raises(NotYet):
            await log_in(pool, machine)
        await until(lambda: machine.closed == machine.connected)

    async def test_no_connection_is_left_open(
        self, pool: SshPool, boot: Boot, listen: Listen
    ) -> None:
        """The broker runs for months: every way out must free the descriptor."""

        machine = await boot()
        others = [await listen(serve) for serve in (hang_up, greet_and_hang_up)]
        before = open_descriptors()
        for one in (machine, *others) * 3:
            with suppress(NotYet):
                await log_in(pool, one)
            with suppress(NotYet):
                await log_in(pool, one, key=OTHER_KEY.private_pem)
            with suppress(NotYet):
                await log_in(pool, one, "hang", timeout=SHORT)
            with suppress(NotYet, HostKeyChanged):
                await log_in(pool, one, host_keys=(OTHER_KEY.public_line,))
        await until(lambda: open_descriptors() <= before)


class TestSecrets:
    """Private keys go to nobody."""

    async def test_no_private_key_is_logged_or_told(
        self,
        pool: SshPool,
        boot: Boot,
        listen: Listen,
        caplog: pytest.LogCaptureFixture,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        """With everything logged, and every failure printed."""
        caplog.set_level(logging.DEBUG)
        machine = await boot()
        shown = repr(await log_in(pool, machine))
        machine.authorized = set()
        silent = await listen(stay_silent)
        for attempt in (log_in(pool, machine), log_in(pool, silent, timeout=SHORT)):
            try:
                await attempt
            except NotYet as error:
                shown += "".join(traceback.format_exception(error))
        shown += caplog.text + "".join(capfd.readouterr())
        assert not [line for line in KEY.private_pem.splitlines() if line in shown]
        assert "paramiko" not in {record.name.partition(".")[0] for record in caplog.records}

    @pytest.mark.parametrize("header", ["OPENSSH", "RSA"])
    async def test_a_damaged_private_key_is_refused_and_not_repeated(
        self, pool: SshPool, boot: Boot, header: str
    ) -> None:
        """It is a mistake of ours, which must not end up in a log."""
        body = KEY.private_pem.splitlines()[1]
        pem = f"-----BEGIN {header} PRIVATE KEY-----\n{body}\n-----END {header} PRIVATE KEY-----\n"
        with pytest.raises(BadKey) as refusal:
            await log_in(pool, await boot(), key=pem)
        assert body not in "".join(traceback.format_exception(refusal.value))
