"""The simulated machines over real SSH: who gets in, what runs, what is seen."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import asyncssh
import pytest

from providers.gpus import is_same_gpu
from providers.simulator import SimulatorProvider
from providers.simulator.home import FOLDER
from providers.simulator.keeper import LOG_NAME
from providers.simulator.machines import LOCK_NAME
from tests.contract.conftest import Open, a_spec
from tests.contract.machines import (
    KEY,
    OTHER_KEY,
    PROBE,
    gets_in,
    log_in,
    public,
    rent,
    run,
    until_reached,
)
from tests.waiting import PATIENCE


async def test_a_machine_shows_the_gpus_that_were_rented(market: SimulatorProvider) -> None:
    """One exec with several commands, as a prober sends it."""
    offer = next(o for o in (await market.list_offers()).offers if o.gpu_count == 4)
    made = await market.create(a_spec(offer, public_keys=(public(KEY),)))
    machine = await until_reached(market, made.id)

    done = await run(machine, f"{PROBE}; echo ---; cat ~/.ssh/authorized_keys; who; exit 7")

    gpus, _, keys = str(done.stdout).partition("---\n")
    rows = [line.split(", ") for line in gpus.splitlines()]
    assert len(rows) == 4
    assert all(is_same_gpu(offer.gpu_type, name) for name, _ in rows)
    assert all(int(mib) >= 0.9 * 1024 * offer.vram_gb for _, mib in rows)
    assert keys == f"{public(KEY)}\n"
    assert (done.stderr, done.exit_status) == ("", 7)


async def test_only_the_keys_of_a_machine_open_it_and_only_to_root(
    market: SimulatorProvider,
) -> None:
    """Which keys these are is decided by the file on the machine."""
    machine = await rent(market)
    assert not await gets_in(machine, OTHER_KEY)
    assert not await gets_in(machine, KEY, "somebody")

    await run(machine, "echo '# a friend' >> ~/.ssh/authorized_keys")
    await run(machine, f"echo '{public(OTHER_KEY)} a friend' >> ~/.ssh/authorized_keys")
    assert await gets_in(machine, OTHER_KEY)
    assert await gets_in(machine, KEY)

    await run(machine, f"echo '{public(OTHER_KEY)}' > ~/.ssh/authorized_keys")
    assert not await gets_in(machine, KEY)

    with pytest.raises(asyncssh.PermissionDenied):
        await asyncssh.connect(
            *(machine.ssh[0].host, machine.ssh[0].port),
            username="root",
            password="secret",
            client_keys=None,
            known_hosts=None,
            config=[],
        )


async def test_commands_have_streams_codes_and_signals(market: SimulatorProvider) -> None:
    """Like anywhere else."""
    machine = await rent(market)

    piped = await run(machine, "cat; echo oops >&2; exit 3", input="some words")
    killed = await run(machine, "kill -TERM $$")
    missing = await run(machine, "no-such-command")

    assert (piped.stdout, piped.stderr, piped.exit_status) == ("some words", "oops\n", 3)
    assert killed.exit_signal is not None
    assert killed.exit_signal[0] == "TERM"
    assert missing.exit_status == 127
    large = await run(machine, "head -c 1000000 /dev/zero | tr '\\0' x")
    assert large.stdout == "x" * 1_000_000


async def test_a_machine_sees_its_own_environment_and_not_the_brokers(
    open_market: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The secrets of whoever runs the broker are nobody's business."""
    monkeypatch.setenv("VASTAI_API_KEY", "top-secret")
    market = await open_market()
    machine = await rent(market, env={"MODEL": "small", "HOME": "/nowhere"})

    shown = str((await run(machine, "env; tr '\\0' '\\n' </proc/$PPID/environ")).stdout)

    assert "MODEL=small\n" in shown
    assert "top-secret" not in shown
    assert "/nowhere" not in shown


async def test_a_terminal_is_a_terminal(market: SimulatorProvider) -> None:
    """With its size, its echo, its line in `who`, and its exit code."""
    machine = await rent(market)
    async with log_in(machine) as connection:
        shell = await connection.create_process(term_type="xterm", term_size=(123, 45))
        shell.stdin.write("stty size; who; echo the end\n")
        said = await asyncio.wait_for(shell.stdout.readuntil("\nthe end"), 10)
        shell.stdin.write("exit 5\n")
        done = await asyncio.wait_for(shell.wait(), 10)
        after = await connection.run("who")

    assert "45 123" in said
    assert "root     pts/" in said
    assert done.exit_status == 5
    assert after.stdout == ""


async def test_files_are_the_same_over_sftp_and_in_the_shell(
    market: SimulatorProvider, tmp_path: Path
) -> None:
    """Relative to the home, or absolute; `/root` is the home."""
    machine = await rent(market)
    (tmp_path / "local").write_text("words")
    async with log_in(machine) as connection, connection.start_sftp_client() as sftp:
        await sftp.put(tmp_path / "local", "relative")
        await sftp.put(tmp_path / "local", "/root/absolute")
        await sftp.put(tmp_path / "local", str(tmp_path / "elsewhere"))
        names = set(await sftp.listdir("."))
        await sftp.get("/root/relative", tmp_path / "back")
        home = await sftp.realpath(".")
    await asyncssh.scp(str(tmp_path / "local"), (await log_in(machine), "copied"))

    shown = await run(machine, f"pwd; cat relative absolute copied {tmp_path}/elsewhere")

    assert names >= {"relative", "absolute", ".ssh"}
    assert (tmp_path / "back").read_text() == "words"
    assert shown.stdout == f"{home}\n{'words' * 4}"


@pytest.mark.skipif(shutil.which("scp") is None, reason="there is no OpenSSH here")
@pytest.mark.parametrize("is_upload", [True, False], ids=["there", "back"])
async def test_scp_copies_and_says_so(
    market: SimulatorProvider, tmp_path: Path, is_upload: bool
) -> None:
    """The exit code of OpenSSH's own program is what scripts go by."""
    machine = await rent(market)
    await run(machine, "echo words > there")
    local, key = tmp_path / "local", tmp_path / "key"
    local.write_text("words\n")
    key.touch(mode=0o600)
    key.write_bytes(KEY.export_private_key())
    (endpoint,) = machine.ssh
    remote = f"root@{endpoint.host}:{'copied' if is_upload else 'there'}"
    paths = (str(local), remote) if is_upload else (remote, str(tmp_path / "back"))
    options = ("BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null")

    scp = await asyncio.create_subprocess_exec(
        *("scp", "-q", "-F", "none", "-i", str(key), "-P", str(endpoint.port)),
        *(word for option in options for word in ("-o", option)),
        *paths,
    )
    status = await asyncio.wait_for(scp.wait(), PATIENCE)

    copied = (
        (await run(machine, "cat copied")).stdout if is_upload else (tmp_path / "back").read_text()
    )
    assert (0, "words\n") == (status, copied)


async def test_what_lies_beside_the_account_is_for_its_owner_only(
    market: SimulatorProvider, tmp_path: Path
) -> None:
    """The disks of the machines, what their process says, and its lock."""
    await rent(market)

    names = (FOLDER, LOG_NAME, LOCK_NAME)
    modes = [(tmp_path / "data" / name).stat().st_mode & 0o777 for name in names]

    assert [0o700, 0o600, 0o600] == modes


async def test_the_load_of_the_gpus_is_whatever_somebody_writes(market: SimulatorProvider) -> None:
    """So that idleness can be tried."""
    machine = await rent(market)
    query = "nvidia-smi --query-gpu=utilization.gpu --format=csv,noheader,nounits -i 0"

    before = await run(machine, query)
    after = await run(machine, f"echo 87 > ~/gpu_util; {query}")

    assert (before.stdout, after.stdout) == ("0\n", "87\n")
