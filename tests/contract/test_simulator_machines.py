"""The simulated machines over real SSH: who gets in, what runs, what survives what."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import asyncssh
import pytest

from broker.clock import utcnow
from providers.base import Instance, InstanceStatus, LaunchMode
from providers.errors import NotFound
from providers.gpus import is_same_gpu
from providers.simulator import SimulatorOptions, SimulatorProvider, open_simulator, parse_fault
from tests.contract.conftest import a_spec, eventually

KEY = asyncssh.generate_private_key("ssh-ed25519")
OTHER_KEY = asyncssh.generate_private_key("ssh-ed25519")
PROBE = "nvidia-smi --query-gpu=name,memory.total --format=csv,noheader,nounits"

Open = Callable[[], Awaitable[SimulatorProvider]]


@pytest.fixture
async def open_market(tmp_path: Path) -> AsyncIterator[Open]:
    """Open the simulated market of this test, as often as wanted."""
    opened: list[SimulatorProvider] = []

    async def opens() -> SimulatorProvider:
        boot_time = timedelta(milliseconds=100)
        options = SimulatorOptions(tmp_path / "data", boot_time=boot_time, drift=timedelta())
        opened.append(await open_simulator(options, utcnow))
        return opened[-1]

    yield opens
    for simulator in opened:
        await simulator.close()


@pytest.fixture
async def market(open_market: Open) -> SimulatorProvider:
    """A simulated market with machines that run."""
    return await open_market()


async def rent(market: SimulatorProvider, **fields: Any) -> Instance:
    """A machine that KEY opens, as soon as it is reached."""
    return await until_reached(market, (await start(market, **fields)).id)


async def start(market: SimulatorProvider, **fields: Any) -> Instance:
    """A machine that KEY opens, once it is up."""
    offer = (await market.list_offers()).offers[0]
    fields = {"public_keys": (public(KEY),), **fields}
    return await market.create(a_spec(offer, f"machine of {offer.id}", **fields))


async def until_reached(market: SimulatorProvider, instance_id: str) -> Instance:
    """The machine as soon as somebody listens at its address."""

    async def is_reached() -> bool:
        instance = await market.get(instance_id)
        return bool(instance.ssh) and await is_listening(instance)

    await eventually(is_reached)
    return await market.get(instance_id)


async def is_listening(instance: Instance) -> bool:
    """Whether connections to its SSH port are accepted."""
    try:
        _, writer = await asyncio.open_connection(instance.ssh[0].host, instance.ssh[0].port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def is_down(instance: Instance) -> bool:
    """Whether connections to its SSH port are refused."""
    return not await is_listening(instance)


def public(key: asyncssh.SSHKey) -> str:
    """The OpenSSH line of a key."""
    return key.export_public_key().decode().strip()


def log_in(
    instance: Instance, key: asyncssh.SSHKey = KEY, user: str = "root", **options: Any
) -> Any:
    """A connection to a machine."""
    (endpoint,) = instance.ssh
    options = {"known_hosts": None, "config": [], "agent_path": None, **options}
    return asyncssh.connect(
        endpoint.host, endpoint.port, username=user, client_keys=[key], **options
    )


async def run(instance: Instance, command: str, **options: Any) -> asyncssh.SSHCompletedProcess:
    """What one command says."""
    async with log_in(instance) as connection:
        done: asyncssh.SSHCompletedProcess = await connection.run(command, **options)
        return done


async def gets_in(instance: Instance, key: asyncssh.SSHKey, user: str = "root") -> bool:
    """Whether a key opens a machine."""
    try:
        async with log_in(instance, key, user):
            return True
    except asyncssh.PermissionDenied:
        return False


def is_alive(pid: int) -> bool:
    """Whether a process runs."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


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


async def test_the_load_of_the_gpus_is_whatever_somebody_writes(market: SimulatorProvider) -> None:
    """So that idleness can be tried."""
    machine = await rent(market)
    query = "nvidia-smi --query-gpu=utilization.gpu --format=csv,noheader,nounits -i 0"

    before = await run(machine, query)
    after = await run(machine, f"echo 87 > ~/gpu_util; {query}")

    assert (before.stdout, after.stdout) == ("0\n", "87\n")


async def test_machines_survive_a_restart_of_whoever_rented_them(open_market: Open) -> None:
    """Same address, same host key, same files; the start script has run once."""
    first = await open_market()
    machine = await rent(first, on_start="echo started; echo $0 >> starts", ports=(8000,))
    async with log_in(machine) as connection:
        before = connection.get_server_host_key()
        await eventually(lambda: is_true(connection.run("test -s starts")))
    await first.close()
    assert not await is_listening(machine)

    again = await until_reached(await open_market(), machine.id)

    assert (again.ssh, again.ports, again.created_at) == (
        *(machine.ssh, machine.ports),
        machine.created_at,
    )
    async with log_in(again) as connection:
        after = connection.get_server_host_key()
        starts = await connection.run("cat starts onstart.log")
    assert before is not None
    assert after == before
    assert starts.stdout == "/bin/sh\nstarted\n"


async def is_true(command: Awaitable[asyncssh.SSHCompletedProcess]) -> bool:
    """Whether a command succeeds."""
    return (await command).exit_status == 0


async def test_host_keys_differ_from_machine_to_machine(market: SimulatorProvider) -> None:
    """Nobody can be mistaken for somebody else."""
    machines = [await rent(market), await rent(market)]
    keys = set()
    for machine in machines:
        async with log_in(machine) as connection:
            key = connection.get_server_host_key()
            keys.add(key and key.export_public_key())

    assert len(keys) == 2


RENTS_AND_WAITS = """
import asyncio, sys
from datetime import timedelta
from pathlib import Path
from broker.clock import utcnow
from providers.simulator import SimulatorOptions, open_simulator
from tests.contract.conftest import a_spec, first_offer

async def main():
    options = SimulatorOptions(Path(sys.argv[1]), boot_time=timedelta(), drift=timedelta())
    market = await open_simulator(options, utcnow)
    made = await market.create(a_spec(await first_offer(market), public_keys=(sys.argv[2],)))
    while not (await market.get(made.id)).ssh:
        await asyncio.sleep(0.02)
    print(made.id, market.machines_pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_nothing_runs_on_when_the_broker_is_killed(open_market: Open, tmp_path: Path) -> None:
    """The machines are still rented, and run again with the next one."""
    broker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", RENTS_AND_WAITS, str(tmp_path / "data"), public(KEY)),
        cwd=Path(__file__).parents[2],
        stdout=asyncio.subprocess.PIPE,
    )
    assert broker.stdout is not None
    words = (await asyncio.wait_for(broker.stdout.readline(), 20)).split()
    instance_id, pid = words[0].decode(), int(words[1])
    assert is_alive(pid)

    broker.send_signal(signal.SIGKILL)
    await broker.wait()

    async def is_over() -> bool:
        return not is_alive(pid)

    await eventually(is_over)
    machine = await until_reached(await open_market(), instance_id)
    assert (await run(machine, "echo back")).stdout == "back\n"


async def test_a_destroyed_machine_leaves_nothing(
    market: SimulatorProvider, tmp_path: Path
) -> None:
    """No connection, no port, no process, no file."""
    machine = await rent(market)
    disk = tmp_path / "data" / "machines" / machine.id
    assert disk.is_dir()
    escape = "(setsid sleep 600 >/dev/null 2>&1 </dev/null & echo $!)"
    async with log_in(machine) as connection:
        left_behind = int(str((await connection.run(escape)).stdout))
        running = await connection.create_process("echo ready; sleep 600")
        await running.stdout.readline()
        assert is_alive(left_behind)

        await market.destroy(machine.id)

        await asyncio.wait_for(connection.wait_closed(), 10)

    async def is_clean() -> bool:
        return not (disk.exists() or is_alive(left_behind) or await is_listening(machine))

    await eventually(is_clean)
    with pytest.raises(NotFound):
        await market.get(machine.id)


async def test_misfortunes_reach_the_machines(market: SimulatorProvider) -> None:
    """Each the machine that it was meant for."""
    offers = (await market.list_offers()).offers
    words = [
        {"fault": "wrong_gpu", "operation": "boot"},
        {"fault": "refused", "operation": "ssh"},
        {"fault": "refused", "operation": "ssh", "delay": "500ms"},
        {"fault": "key_late", "operation": "ssh", "delay": "500ms"},
        {"fault": "slow", "operation": "ssh", "delay": "500ms"},
        {"fault": "dies", "operation": "boot", "delay": "1500ms"},
        {"fault": "never_boots", "operation": "boot"},
    ]
    for offer, word in zip(offers, words, strict=False):
        market.faults.add(parse_fault(word | {"offer_id": offer.id}))
    made = [
        await market.create(a_spec(offer, f"machine {n}", public_keys=(public(KEY),)))
        for n, offer in enumerate(offers[: len(words)])
    ]
    wrong, refused, late, key_late, slow, dies, never = (instance.id for instance in made)

    dying = await until_reached(market, dies)
    assert (await run(await until_reached(market, wrong), PROBE)).stdout == (
        "NVIDIA GeForce GTX 1070, 8192\n"
    )
    assert await gets_in(await until_reached(market, late), KEY)
    begun = asyncio.get_running_loop().time()
    assert await gets_in(await until_reached(market, slow), KEY)
    assert asyncio.get_running_loop().time() - begun >= 0.5
    await eventually(lambda: gets_in_to(market, key_late))
    assert not await is_listening(await market.get(refused))
    assert (await market.get(refused)).status is InstanceStatus.RUNNING
    assert (await market.get(never)).status is InstanceStatus.STARTING

    async def is_dead() -> bool:
        status = (await market.get(dies)).status
        return status is InstanceStatus.OFFLINE and not await is_listening(dying)

    await eventually(is_dead)


async def gets_in_to(market: SimulatorProvider, instance_id: str) -> bool:
    """Whether KEY opens a machine already."""
    return await gets_in(await until_reached(market, instance_id), KEY)


async def test_a_late_key_is_refused_at_first(market: SimulatorProvider) -> None:
    """The machine answers, and lets nobody in."""
    market.faults.add(parse_fault({"fault": "key_late", "operation": "ssh", "delay": "1h"}))

    machine = await rent(market)

    assert not await gets_in(machine, KEY)


async def test_an_entrypoint_answers_http_on_every_published_port(
    market: SimulatorProvider,
) -> None:
    """As much of a model server as shows that it serves; SSH beside it."""
    machine = await rent(
        market,
        launch_mode=LaunchMode.ENTRYPOINT,
        ports=(8000, 8080),
        args=("--max-model-len", "4096", "--model", "meta-llama/Llama-3.1-8B"),
    )

    assert set(machine.ports) == {8000, 8080}
    async with aiohttp.ClientSession() as session:
        for endpoint in machine.ports.values():
            address = f"http://{endpoint.host}:{endpoint.port}"
            async with session.get(f"{address}/health") as health:
                assert health.status == 200
            async with session.get(f"{address}/v1/models") as models:
                served = await models.json()
            assert [model["id"] for model in served["data"]] == ["meta-llama/Llama-3.1-8B"]
            async with session.get(f"{address}/nothing") as nothing:
                assert nothing.status == 404
    assert await gets_in(machine, KEY)


async def test_two_openers_run_the_machines_once(open_market: Open) -> None:
    """The second takes over when the first leaves."""
    first = await open_market()
    machine = await rent(first)
    second = await open_market()

    assert (await second.get(machine.id)).ssh == machine.ssh
    async with log_in(machine) as connection:
        assert (await connection.run("echo still here")).stdout == "still here\n"
        await first.close()
        await asyncio.wait_for(connection.wait_closed(), 10)

    taken_over = await until_reached(second, machine.id)
    assert (await run(taken_over, "echo again")).stdout == "again\n"


async def test_a_crashed_process_of_the_machines_is_replaced(market: SimulatorProvider) -> None:
    """With the next look at them."""
    machine = await rent(market)
    assert market.machines_pid is not None
    os.kill(market.machines_pid, signal.SIGKILL)
    await eventually(lambda: is_down(machine))

    async def is_back() -> bool:
        (instance,) = await market.list_instances()
        return await is_listening(instance)

    await eventually(is_back)
    assert (await run(machine, "echo back")).stdout == "back\n"


async def test_many_machines_answer_at_once(market: SimulatorProvider) -> None:
    """Thirty boots, then thirty logins at the same time."""
    offers = (await market.list_offers()).offers[:30]
    made = await asyncio.gather(
        *(
            market.create(a_spec(o, f"m {n}", public_keys=(public(KEY),)))
            for n, o in enumerate(offers)
        )
    )
    machines: Sequence[Instance] = await asyncio.gather(
        *(until_reached(market, instance.id) for instance in made)
    )

    answers = await asyncio.gather(*(run(machine, PROBE) for machine in machines))

    shown = [str(answer.stdout).partition(",")[0] for answer in answers]
    assert all(is_same_gpu(offer.gpu_type, name) for offer, name in zip(offers, shown, strict=True))
    assert len({machine.ssh for machine in machines}) == 30
